/** The arithmetic of a heat map: its domain, its pixels, its labels. */

import { rampColor, rampTable, type Ramp, type Rgb } from "./color";

export interface Cell {
  readonly row: number;
  readonly column: number;
}

export type Domain = readonly [low: number, high: number];

/** The finite range of the values; symmetric about zero for a diverging ramp, from zero for counts and shares. */
export function findDomain(values: ArrayLike<number>, ramp: Ramp): Domain {
  let low = Infinity;
  let high = -Infinity;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? NaN;
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return [0, 1];
  if (ramp === "diverging") {
    const size = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return [-size, size];
  }
  if (low > 0) low = 0;
  return low === high ? [low, low + 1] : [low, high];
}

/** Where a value stands in a domain, 0–1; NaN stays NaN. */
export function positionIn([low, high]: Domain, value: number): number {
  return high > low ? (value - low) / (high - low) : 0.5;
}

/** One RGBA pixel a cell, row 0 on top (at the bottom with `upward`). Cells without a number are clear. */
export function paintCells(
  values: ArrayLike<number>,
  rows: number,
  columns: number,
  look: { ramp: Ramp; domain: Domain; dark: boolean; upward: boolean },
): Uint8ClampedArray<ArrayBuffer> {
  const table = rampTable(look.ramp, look.dark);
  const pixels = new Uint8ClampedArray(rows * columns * 4);
  for (let row = 0; row < rows; row++) {
    const target = (look.upward ? rows - 1 - row : row) * columns;
    for (let column = 0; column < columns; column++) {
      const share = positionIn(look.domain, values[row * columns + column] ?? NaN);
      if (Number.isNaN(share)) continue;
      const entry = Math.round(Math.min(1, Math.max(0, share)) * 255) * 4;
      pixels.set(table.subarray(entry, entry + 4), (target + column) * 4);
    }
  }
  return pixels;
}

/** The colour of one value, for the ink that is written on it. */
export function cellColor(value: number, look: { ramp: Ramp; domain: Domain; dark: boolean }): Rgb {
  return rampColor(look.ramp, positionIn(look.domain, value), look.dark);
}

/** Which of `count` labels to show along `length` pixels, if each needs `room` of them. Always evenly spaced. */
export function pickLabels(count: number, length: number, room: number): number[] {
  if (count === 0 || length <= 0) return [];
  const stride = niceStride((count * room) / length);
  return Array.from({ length: Math.ceil(count / stride) }, (_, index) => index * stride);
}

function niceStride(least: number): number {
  if (least <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  for (const step of [1, 2, 5, 10]) if (step * power >= least) return step * power;
  return Math.ceil(least);
}
