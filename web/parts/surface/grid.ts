/** A function of two numbers on a grid: read between its points, and cut at levels. */

import { ticks } from "d3-array";

export interface Grid {
  /** Ascending. */
  readonly x: ArrayLike<number>;
  readonly y: ArrayLike<number>;
  /** Row-major, a row for each y. */
  readonly values: ArrayLike<number>;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** The value at a place, bilinear between the four points around it; NaN outside, and beside what is not finite. */
export function valueAt({ x, y, values }: Grid, place: Point): number {
  const [column, across] = locate(x, place.x);
  const [row, up] = locate(y, place.y);
  if (column < 0 || row < 0) return NaN;
  const wide = x.length;
  const at = (r: number, c: number): number => values[Math.min(r, y.length - 1) * wide + Math.min(c, wide - 1)] ?? NaN;
  const low = mix(at(row, column), at(row, column + 1), across);
  return mix(low, mix(at(row + 1, column), at(row + 1, column + 1), across), up);
}

/** A weight of 0 leaves even an infinite neighbour out. */
function mix(from: number, to: number, share: number): number {
  return share === 0 ? from : share === 1 ? to : from + (to - from) * share;
}

/** The interval of ascending numbers that holds a value, and how far into it; −1 outside. */
export function locate(axis: ArrayLike<number>, value: number): readonly [index: number, share: number] {
  const last = axis.length - 1;
  if (last < 0 || !(value >= (axis[0] ?? NaN) && value <= (axis[last] ?? NaN))) return [-1, 0];
  let [low, high] = [0, last];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((axis[middle] ?? 0) <= value) low = middle;
    else high = middle;
  }
  const width = (axis[high] ?? 0) - (axis[low] ?? 0);
  return [low, width > 0 ? (value - (axis[low] ?? 0)) / width : 0];
}

/** The place in ascending numbers nearest to a value. */
export function nearestIndex(axis: ArrayLike<number>, value: number): number {
  let best = 0;
  for (let index = 1; index < axis.length; index++) {
    if (Math.abs((axis[index] ?? 0) - value) < Math.abs((axis[best] ?? 0) - value)) best = index;
  }
  return best;
}

/** About `count` round levels inside a range. */
export function levelsIn([low, high]: readonly [number, number], count: number): number[] {
  return high > low ? ticks(low, high, count).filter((level) => level > low && level < high) : [];
}

/**
 * Where the grid's function crosses a level, as segments x₀ y₀ x₁ y₁ (marching squares, linear along the edges; a saddle
 * is decided by the mean of its corners). Cells beside a value that is not finite are left out.
 */
export function contourSegments({ x, y, values }: Grid, level: number): number[] {
  const out: number[] = [];
  const wide = x.length;
  for (let row = 0; row + 1 < y.length; row++) {
    for (let column = 0; column + 1 < wide; column++) {
      const at = row * wide + column;
      // Corners counter-clockwise from the lower left, relative to the level.
      const a = (values[at] ?? NaN) - level;
      const b = (values[at + 1] ?? NaN) - level;
      const c = (values[at + wide + 1] ?? NaN) - level;
      const d = (values[at + wide] ?? NaN) - level;
      const kind = (a > 0 ? 1 : 0) | (b > 0 ? 2 : 0) | (c > 0 ? 4 : 0) | (d > 0 ? 8 : 0);
      if (kind === 0 || kind === 15 || !Number.isFinite(a + b + c + d)) continue;
      const [x0, x1] = [x[column] ?? 0, x[column + 1] ?? 0];
      const [y0, y1] = [y[row] ?? 0, y[row + 1] ?? 0];
      const edges: readonly (() => readonly [number, number])[] = [
        () => [x0 + ((x1 - x0) * a) / (a - b), y0],
        () => [x1, y0 + ((y1 - y0) * b) / (b - c)],
        () => [x0 + ((x1 - x0) * d) / (d - c), y1],
        () => [x0, y0 + ((y1 - y0) * a) / (a - d)],
      ];
      for (const [from, to] of pairsOf(kind, a + b + c + d > 0)) {
        out.push(...(edges[from]?.() ?? []), ...(edges[to]?.() ?? []));
      }
    }
  }
  return out;
}

/** Which edges (bottom, right, top, left) of a cell are joined, by which corners are above. */
const JOINS: Readonly<Record<number, readonly [number, number]>> = {
  1: [3, 0],
  2: [0, 1],
  3: [3, 1],
  4: [1, 2],
  6: [0, 2],
  7: [3, 2],
  8: [2, 3],
  9: [0, 2],
  11: [1, 2],
  12: [1, 3],
  13: [0, 1],
  14: [3, 0],
};

function pairsOf(kind: number, middleAbove: boolean): readonly (readonly [number, number])[] {
  const join = JOINS[kind];
  if (join) return [join];
  const around: readonly (readonly [number, number])[] = [
    [3, 0],
    [1, 2],
  ];
  const across: readonly (readonly [number, number])[] = [
    [0, 1],
    [2, 3],
  ];
  return (kind === 5) === middleAbove ? across : around;
}
