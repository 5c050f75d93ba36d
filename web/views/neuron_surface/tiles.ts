/** Pictures of many surfaces at once, painted fast. */

import { rampTable, type Ramp } from "../../parts/color";
import type { Domain } from "../../parts/heat_map";

/** A ramp's 256 colours as one number each. */
export function packedRamp(ramp: Ramp, dark: boolean): Uint32Array {
  return new Uint32Array(rampTable(ramp, dark).buffer);
}

/** Paint rows × columns values, the first row at the bottom; cells without a number are clear. */
export function paintTile(
  values: ArrayLike<number>,
  columns: number,
  domain: Domain,
  table: Uint32Array,
  target: Uint32Array,
): void {
  const rows = values.length / columns;
  const scale = 255 / (domain[1] - domain[0] || 1);
  for (let row = 0; row < rows; row++) {
    const to = (rows - 1 - row) * columns;
    const from = row * columns;
    for (let column = 0; column < columns; column++) {
      const entry = ((values[from + column] as number) - domain[0]) * scale;
      target[to + column] =
        entry >= 0 ? (table[entry > 255 ? 255 : (entry + 0.5) | 0] as number) : entry < 0 ? (table[0] as number) : 0;
    }
  }
}

export interface Layout {
  readonly across: number;
  readonly side: number;
  readonly tall: number;
  readonly rows: number;
}

/** Equal tiles in rows that fill a width; the fewer, the larger. */
export function layTiles(count: number, width: number, proportion: number, gap: number): Layout {
  const room = width / (count <= 12 ? 3 : count <= 40 ? 5 : 8); // on a telephone they are smaller rather than many rows
  const wish = Math.min(room, count <= 12 ? 132 : count <= 40 ? 92 : count <= 150 ? 64 : 44);
  const across = Math.max(1, Math.min(count, Math.floor((width + gap) / (wish + gap))));
  const side = Math.min(wish * 1.5, (width - gap * (across - 1)) / across);
  return { across, side, tall: Math.max(12, side * proportion), rows: Math.ceil(count / across) };
}

/** The tile at a place on the sheet; −1 between them. */
export function tileAt({ across, side, tall }: Layout, gap: number, x: number, y: number, count: number): number {
  const [column, row] = [Math.floor(x / (side + gap)), Math.floor(y / (tall + gap))];
  if (column < 0 || column >= across || row < 0) return -1;
  const found = row * across + column;
  return found < count ? found : -1;
}
