/** Points on a canvas: scales, round ticks and the point under the pointer. */

import { ticks } from "d3-array";

export type Range = readonly [low: number, high: number];

export interface Scale {
  (value: number): number;
  readonly ticks: number[];
}

/** A linear scale from a range of values to pixels, with about `count` round ticks. */
export function makeScale([low, high]: Range, [from, to]: Range, count: number): Scale {
  const slope = high > low ? (to - from) / (high - low) : 0;
  return Object.assign((value: number) => from + (value - low) * slope, { ticks: ticks(low, high, count) });
}

/** The finite range of some arrays, with a margin on both sides. */
export function rangeOf(arrays: readonly ArrayLike<number>[], margin = 0.04): Range {
  let [low, high] = [Infinity, -Infinity];
  for (const values of arrays) {
    for (let index = 0; index < values.length; index++) {
      const value = values[index] ?? NaN;
      if (!Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (!(low <= high)) return [0, 1];
  const room = high > low ? (high - low) * margin : Math.abs(low) * 0.5 || 1;
  return [low - room, high + room];
}

/** The index of the point nearest to a place on the screen, or −1 if none is within `reach` pixels. */
export function nearestPoint(xs: ArrayLike<number>, ys: ArrayLike<number>, x: number, y: number, reach = 14): number {
  let best = -1;
  let least = reach * reach;
  for (let index = 0; index < xs.length; index++) {
    const distance = ((xs[index] ?? NaN) - x) ** 2 + ((ys[index] ?? NaN) - y) ** 2;
    if (distance <= least) {
      least = distance;
      best = index;
    }
  }
  return best;
}

/** How opaque a point is so that crowds show as darker patches: solid for a few, faint for thousands. */
export function pointOpacity(count: number): number {
  return Math.min(0.85, Math.max(0.12, 12 / Math.sqrt(Math.max(1, count))));
}
