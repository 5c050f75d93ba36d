/** A loss over one weight: read between its points, and thinned for drawing without losing a bend that shows. */

import type { WeightCurve } from "../../api/types";
import { locate } from "../../parts/surface/grid";

export interface Reading {
  readonly loss: number;
  readonly slope: number;
}

/** Loss and slope at a weight, by the cubic between the two points next to it; NaN outside the range. */
export function readAt(result: WeightCurve, weight: number): Reading {
  const [left, share] = locate(result.weight.data, weight);
  if (left < 0) return { loss: NaN, slope: NaN };
  return readBetween(result, left, share);
}

/** The cubic on the interval that begins at a point, some share into it. */
export function readBetween(result: WeightCurve, left: number, u: number): Reading {
  const { weight, loss, slope_right, slope_left } = result;
  const width = (weight.data[left + 1] ?? NaN) - (weight.data[left] ?? NaN);
  const [a, b] = [loss.data[left] ?? NaN, loss.data[left + 1] ?? NaN];
  const [p, q] = [(slope_right.data[left] ?? NaN) * width, (slope_left.data[left + 1] ?? NaN) * width];
  const v = 1 - u;
  return {
    loss: (1 + 2 * u) * v * v * a + u * v * v * p + u * u * (3 - 2 * u) * b - u * u * v * q,
    slope: (6 * u * v * (b - a) + v * (1 - 3 * u) * p + u * (3 * u - 2) * q) / width,
  };
}

export interface Samples {
  readonly weight: number[];
  readonly loss: number[];
  readonly slope: number[];
}

/**
 * What is drawn: of every interval its two ends, from the inside, so that the slope's jumps stand upright, and points
 * in between where the interval is wide. Of intervals narrower than a pixel, the first and last of each pixel remain.
 */
export function samplesOf(result: WeightCurve, pixels: number): Samples {
  const out: Samples = { weight: [], loss: [], slope: [] };
  const axis = result.weight.data;
  const last = axis.length - 1;
  const low = axis[0] ?? 0;
  const step = ((axis[last] ?? 1) - low) / Math.max(1, pixels);
  let drawn = -1;
  for (let left = 0; left < last; left++) {
    const [from, to] = [axis[left] ?? NaN, axis[left + 1] ?? NaN];
    const pixel = Math.floor((to - low) / step);
    if (to - from < step && pixel === drawn && left + 1 < last) continue;
    drawn = pixel;
    const pieces = Math.min(48, Math.max(1, Math.ceil((to - from) / (3 * step))));
    for (let piece = 0; piece <= pieces; piece++) {
      const share = piece / pieces;
      const read = readBetween(result, left, share);
      out.weight.push(from + share * (to - from));
      out.loss.push(read.loss);
      out.slope.push(read.slope);
    }
  }
  return out;
}

/** Points as an SVG path; what is not finite breaks it. */
export function pathOf(
  xs: readonly number[],
  ys: readonly number[],
  x: (v: number) => number,
  y: (v: number) => number,
): string {
  let path = "";
  let pen = false;
  for (let index = 0; index < xs.length; index++) {
    const value = ys[index] ?? NaN;
    if (!Number.isFinite(value)) {
      pen = false;
      continue;
    }
    path += `${pen ? "L" : "M"}${x(xs[index] ?? 0).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = true;
  }
  return path;
}

/** The bend nearest to a weight, if it is within `reach`; −1 otherwise. */
export function nearestBend(bends: ArrayLike<number>, weight: number, reach: number): number {
  const [left] = locate(bends, weight);
  const around = left < 0 ? [0, bends.length - 1] : [left, left + 1];
  let best = -1;
  for (const index of around) {
    const distance = Math.abs((bends[index] ?? Infinity) - weight);
    if (distance <= reach && !(distance >= Math.abs((bends[best] ?? Infinity) - weight))) best = index;
  }
  return best;
}

/** How many bends fall into each of so many equal parts of the range, by module. */
export function countBends(result: WeightCurve, parts: number): readonly Uint32Array[] {
  const axis = result.weight.data;
  const low = axis[0] ?? 0;
  const width = (axis[axis.length - 1] ?? 1) - low || 1;
  const counts = result.modules.map(() => new Uint32Array(parts));
  for (let bend = 0; bend < result.bend_weight.data.length; bend++) {
    const part = Math.min(
      parts - 1,
      Math.max(0, Math.floor((((result.bend_weight.data[bend] ?? 0) - low) / width) * parts)),
    );
    const own = counts[result.bend_module.data[bend] ?? 0];
    if (own) own[part] = (own[part] ?? 0) + 1;
  }
  return counts;
}

/** The lowest of the points kept. */
export function lowestOf(result: WeightCurve): { readonly weight: number; readonly loss: number } {
  let best = -1;
  for (let index = 0; index < result.loss.data.length; index++) {
    const loss = result.loss.data[index] ?? NaN;
    if (Number.isFinite(loss) && !(loss >= (result.loss.data[best] ?? Infinity))) best = index;
  }
  return { weight: result.weight.data[best] ?? result.value, loss: result.loss.data[best] ?? result.loss_here };
}
