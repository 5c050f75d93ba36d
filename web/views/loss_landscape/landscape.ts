/** What is drawn of a loss landscape: heights, the training path on it, and what its centre is like. */

import type { LossLandscape } from "../../api/types";
import type { Domain } from "../../parts/heat_map";
import { nearestIndex, valueAt, type Grid } from "../../parts/surface/grid";

/** From this ratio of the largest to the least loss on, a logarithmic scale shows more. */
const MANY_TIMES = 30;

/** Whether the losses span so much that only their logarithms can be told apart. */
export function spansMuch(result: LossLandscape): boolean {
  const [low, high] = finiteRange(result.loss.data);
  return low > 0 && high > MANY_TIMES * low;
}

/** A loss as a height. */
export function heightOf(loss: number, log: boolean): number {
  return log ? Math.log10(Math.max(loss, 1e-300)) : loss;
}

export function lossOf(height: number, log: boolean): number {
  return log ? 10 ** height : height;
}

/** The grid of heights. */
export function gridOf(result: LossLandscape, log: boolean): Grid {
  return {
    x: result.s.data,
    y: result.t.data,
    values: log ? Float64Array.from(result.loss.data, (loss) => heightOf(loss, true)) : result.loss.data,
  };
}

/** The heights' finite range. */
export function domainOf(grid: Grid): Domain {
  const [low, high] = finiteRange(grid.values);
  return high > low ? [low, high] : [low, low + (Math.abs(low) || 1)];
}

/** The finite range of several, so that one colour means one loss in all of them. */
export function commonDomain(grids: readonly Grid[]): Domain {
  const each = grids.map(domainOf);
  return [Math.min(...each.map(([low]) => low)), Math.max(...each.map(([, high]) => high))];
}

export interface PathPoint {
  readonly s: number;
  readonly t: number;
  readonly loss: number;
  readonly distance: number;
}

/** The checkpoints that lie on what is drawn, in the order of training. */
export function pathOf(result: LossLandscape): PathPoint[] {
  const { path } = result;
  if (!path) return [];
  const wide = path.coordinates.shape[1] ?? 1;
  const inside = (axis: ArrayLike<number>, value: number): boolean =>
    value >= (axis[0] ?? 0) && value <= (axis[axis.length - 1] ?? 0);
  return Array.from(path.loss.data, (loss, index) => ({
    s: path.coordinates.data[index * wide] ?? NaN,
    t: wide > 1 ? (path.coordinates.data[index * wide + 1] ?? NaN) : 0,
    loss,
    distance: path.distance.data[index] ?? NaN,
  })).filter(({ s, t }) => inside(result.s.data, s) && (result.dimensions < 2 || inside(result.t.data, t)));
}

const MOSTLY_OFF = 0.9;

/** Whether the checkpoints lie so far beside what is drawn that their shadows on it say nothing. */
export function isOffPlane({ path }: LossLandscape): boolean {
  if (!path) return false;
  const far = Array.from(path.length.data, (length, index) => (path.distance.data[index] ?? 0) / length);
  const told = far.filter((share) => Number.isFinite(share)).sort((a, b) => a - b);
  return told.length > 0 && (told[Math.floor(told.length / 2)] ?? 0) > MOSTLY_OFF;
}

/** A point of the path, and the point of the surface right below or above it, where there is one. */
export function stemOf(grid: Grid, point: PathPoint, log: boolean): readonly [number, number] | null {
  const ground = valueAt(grid, { x: point.s, y: point.t });
  return Number.isFinite(ground) ? [ground, heightOf(point.loss, log)] : null;
}

export interface Cut {
  readonly x: ArrayLike<number>;
  readonly loss: Float64Array;
  /** The second-order picture; null where the curvature was not measured. */
  readonly parabola: Float64Array | null;
}

/** The loss along one axis through the present parameters, with the parabola that slope and curvature say. */
export function cutOf(result: LossLandscape, axis: number): Cut {
  const [across, up] = [result.s.data, result.t.data];
  const steps = axis === 0 ? across : up;
  const still = nearestIndex(axis === 0 ? up : across, 0);
  const wide = across.length;
  const loss = Float64Array.from(steps, (_, index) =>
    Number(result.loss.data[axis === 0 ? still * wide + index : index * wide + still]),
  );
  const slope = result.slopes.data[axis] ?? NaN;
  const curvature = result.curvatures.data[axis * result.dimensions + axis] ?? NaN;
  const known = Number.isFinite(slope) && Number.isFinite(curvature);
  return {
    x: steps,
    loss,
    parabola: known
      ? Float64Array.from(steps, (step) => result.center_loss + slope * step + 0.5 * curvature * step * step)
      : null,
  };
}

/** The lowest point of the grid. */
export function lowestOf(result: LossLandscape): { readonly s: number; readonly t: number; readonly loss: number } {
  let best = -1;
  for (let index = 0; index < result.loss.data.length; index++) {
    const value = result.loss.data[index] ?? NaN;
    if (Number.isFinite(value) && !(value >= (result.loss.data[best] ?? Infinity))) best = index;
  }
  if (best < 0) return { s: 0, t: 0, loss: result.center_loss };
  const wide = result.s.data.length;
  return {
    s: result.s.data[best % wide] ?? 0,
    t: result.t.data[Math.floor(best / wide)] ?? 0,
    loss: result.loss.data[best] ?? NaN,
  };
}

/** How many points of the grid are infinite or no number. */
export function notFinite(result: LossLandscape): number {
  let count = 0;
  for (let index = 0; index < result.loss.data.length; index++) {
    if (!Number.isFinite(result.loss.data[index] ?? NaN)) count += 1;
  }
  return count;
}

const DIRECTIONS: Readonly<Record<string, string>> = {
  random: "two random directions",
  path: "the plane of the training path",
  eigenvectors: "the two sharpest directions",
  saddle: "the sharpest direction and the most downward one",
  given: "given directions",
};

const NORMALIZATIONS: Readonly<Record<string, string>> = {
  filter: "each filter as long as the network's own (Li et al. 2018)",
  layer: "each layer as long as the network's own",
  none: "at their own lengths",
};

/** Where the loss was measured, in one sentence. */
export function sayWhere(result: LossLandscape): string {
  const plane =
    result.dimensions === 1 && result.directions === "random"
      ? "one random direction"
      : (DIRECTIONS[result.directions] ?? result.directions);
  return `Along ${plane}, ${NORMALIZATIONS[result.normalization] ?? result.normalization}.`;
}

function finiteRange(values: ArrayLike<number>): readonly [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? NaN;
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : [0, 0];
}
