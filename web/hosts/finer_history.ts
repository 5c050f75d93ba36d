/** One layer's history, finer than where all layers share what a picture can show. */

import { numbers, take, where, type Frame } from "../api/frames";
import { TableStore } from "../api/table_store";

/** The finer rows of a layer, gone on with by those that came since among all layers' rows. */
export function continued(finer: Frame, all: Frame, layer: string): Frame {
  const own = where(all, { layer });
  const last = numbers(finer, "step")[finer.rows - 1] ?? -Infinity;
  const rows = Array.from(numbers(own, "step")).flatMap((step, row) => (step > last ? [row] : []));
  if (rows.length === 0) return finer;
  const store = new TableStore(finer.table);
  const segment = { run: "", table: finer.table };
  store.merge({ ...segment, firstRow: 0, nextRow: 1, frame: finer });
  store.merge({ ...segment, firstRow: 1, nextRow: 2, frame: take(own, rows) });
  return store.frame;
}
