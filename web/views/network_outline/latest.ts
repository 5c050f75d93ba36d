/** Each layer's latest row of the `layers` table, with what its earlier rows say about its updates. */

import { isLost, numbers, type Frame } from "../../api/frames";
import { HEALTH_COLUMNS, type HealthColumn, type LayerRow } from "./health";

/** Rows of the frame by layer, in order. */
export function rowsByLayer(layers: Frame): Map<string, number[]> {
  const out = new Map<string, number[]>();
  const column = layers.columns["layer"];
  if (column?.kind !== "labels") return out;
  const lists: (number[] | undefined)[] = [];
  for (let row = 0; row < layers.rows; row += 1) {
    const code = column.codes[row]!;
    let rows = lists[code];
    if (!rows) {
      rows = lists[code] = [];
      out.set(column.labels[code] ?? "", rows);
    }
    rows.push(row);
  }
  return out;
}

/** The latest row of every layer, by the layer's name. */
export function latestRows(layers: Frame): Map<string, LayerRow> {
  const columns = new Map(HEALTH_COLUMNS.map((name) => [name, numbers(layers, name)]));
  const steps = numbers(layers, "step");
  const out = new Map<string, LayerRow>();
  for (const [layer, rows] of rowsByLayer(layers)) {
    const last = rows[rows.length - 1]!;
    const row = { step: steps[last] ?? NaN, recent_update: NaN, lost: new Set<HealthColumn>() } as LayerRow & {
      lost: Set<HealthColumn>;
    };
    for (const [name, data] of columns) {
      row[name] = data[last] ?? NaN;
      if (isLost(layers, name, last)) row.lost.add(name);
    }
    row.recent_update = largest(columns.get("update_ratio")!, rows.slice(Math.floor(rows.length * 0.75)));
    out.set(layer, row);
  }
  return out;
}

function largest(data: ArrayLike<number>, rows: readonly number[]): number {
  let most = NaN;
  for (const row of rows) if (!(data[row]! <= most) && Number.isFinite(data[row])) most = data[row]!;
  return most;
}
