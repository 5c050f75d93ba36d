/** A grid of heights as triangles in a box: x and depth within ±1, heights within 0 and `TALL`. */

import type { Grid } from "./grid";

export const TALL = 1;

export interface Box {
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
  readonly value: readonly [number, number];
}

export interface Mesh {
  /** x, height, depth of each point of the grid. */
  readonly positions: Float32Array<ArrayBuffer>;
  readonly normals: Float32Array<ArrayBuffer>;
  /** 0–1 through the box's values; colours come from it. */
  readonly shares: Float32Array<ArrayBuffer>;
  readonly triangles: Uint32Array<ArrayBuffer>;
}

/** A place and value as a point of the box; a value beyond the box lies on its lid or floor. */
export function inBox(box: Box, x: number, y: number, value: number): readonly [number, number, number] {
  return [2 * share(box.x, x) - 1, TALL * Math.min(1, Math.max(0, share(box.value, value))), 1 - 2 * share(box.y, y)];
}

/** The place in the grid's own numbers under a point of the box. */
export function outOfBox(box: Box, x: number, depth: number): { x: number; y: number } {
  const across = (x + 1) / 2;
  const up = (1 - depth) / 2;
  return { x: box.x[0] + across * (box.x[1] - box.x[0]), y: box.y[0] + up * (box.y[1] - box.y[0]) };
}

/** Triangles of a grid; those with a corner that is not finite are left out. */
export function meshOf(grid: Grid, box: Box): Mesh {
  const { x, y, values } = grid;
  const [wide, high] = [x.length, y.length];
  const positions = new Float32Array(wide * high * 3);
  const shares = new Float32Array(wide * high);
  for (let row = 0; row < high; row++) {
    for (let column = 0; column < wide; column++) {
      const at = row * wide + column;
      const value = values[at] ?? NaN;
      const place = inBox(box, x[column] ?? 0, y[row] ?? 0, Number.isFinite(value) ? value : box.value[1]);
      positions.set(place, at * 3);
      shares[at] = place[1] / TALL;
    }
  }
  const triangles: number[] = [];
  for (let row = 0; row + 1 < high; row++) {
    for (let column = 0; column + 1 < wide; column++) {
      const a = row * wide + column;
      const corners = [a, a + 1, a + wide + 1, a + wide] as const;
      if (corners.every((corner) => Number.isFinite(values[corner] ?? NaN))) {
        const [p, q, r, s] = corners;
        triangles.push(p, q, r, p, r, s);
      }
    }
  }
  return { positions, normals: normalsOf(positions, wide, high), shares, triangles: Uint32Array.from(triangles) };
}

/** Upright of the surface at each point, by differences between its neighbours. */
function normalsOf(positions: Float32Array, wide: number, high: number): Float32Array<ArrayBuffer> {
  const normals = new Float32Array(positions.length);
  const at = (row: number, column: number, axis: number): number => positions[(row * wide + column) * 3 + axis] ?? 0;
  const slope = (height: number, width: number): number => (width === 0 ? 0 : height / width);
  for (let row = 0; row < high; row++) {
    for (let column = 0; column < wide; column++) {
      const [left, right] = [Math.max(0, column - 1), Math.min(wide - 1, column + 1)];
      const [below, above] = [Math.max(0, row - 1), Math.min(high - 1, row + 1)];
      const across = slope(at(row, right, 1) - at(row, left, 1), at(row, right, 0) - at(row, left, 0));
      const deep = slope(at(above, column, 1) - at(below, column, 1), at(above, column, 2) - at(below, column, 2));
      const length = Math.hypot(across, 1, deep);
      normals.set([-across / length, 1 / length, -deep / length], (row * wide + column) * 3);
    }
  }
  return normals;
}

function share([low, high]: readonly [number, number], value: number): number {
  return high > low ? (value - low) / (high - low) : 0.5;
}
