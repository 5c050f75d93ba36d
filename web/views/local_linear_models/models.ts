/** The arithmetic of local linear models: coefficients, importance and profiles, from the result's own arrays. */

import type { LocalLinearModels } from "../../api/types";

/** One output's coefficients in one region, a view of the whole. */
export function coefficientsOf(result: LocalLinearModels, region: number, output: number): ArrayLike<number> {
  const [, outputs = 1, features = 0] = result.coefficients.shape;
  const start = (region * outputs + output) * features;
  return result.coefficients.data.subarray(start, start + features);
}

export function interceptOf(result: LocalLinearModels, region: number, output: number): number {
  return result.intercepts.data[region * (result.intercepts.shape[1] ?? 1) + output] ?? NaN;
}

export interface Importance {
  readonly feature: number;
  readonly name: string;
  /** Share of all features' joint importance, 0–1. */
  readonly share: number;
  /** Mean change of the output over one standard deviation of the feature. */
  readonly effect: number;
  /** That change's standard deviation over the examples. */
  readonly spread: number;
}

/** Standard deviation of each feature over the examples. */
export function scalesOf(result: LocalLinearModels): Float64Array {
  const [rows = 0, features = 0] = result.data.points.shape;
  const { data } = result.data.points;
  const mean = new Float64Array(features);
  const square = new Float64Array(features);
  for (let row = 0; row < rows; row++) {
    for (let feature = 0; feature < features; feature++) mean[feature]! += (data[row * features + feature] ?? 0) / rows;
  }
  for (let row = 0; row < rows; row++) {
    for (let feature = 0; feature < features; feature++) {
      square[feature]! += ((data[row * features + feature] ?? 0) - mean[feature]!) ** 2 / rows;
    }
  }
  return square.map(Math.sqrt);
}

/**
 * The features by joint importance sⱼ·√(Σᵣ πᵣ wᵣⱼ²), largest first. Of several classes the mean over the outputs is
 * taken off first, because the softmax does not see it.
 */
export function importanceOf(result: LocalLinearModels, output: number, scales: ArrayLike<number>): Importance[] {
  const [regions = 0, outputs = 1, features = 0] = result.coefficients.shape;
  const { data } = result.coefficients;
  const total = sum(result.support.data) || 1;
  const first = new Float64Array(features);
  const second = new Float64Array(features);
  const centred = result.task === "multiclass";
  for (let region = 0; region < regions; region++) {
    const share = (result.support.data[region] ?? 0) / total;
    for (let feature = 0; feature < features; feature++) {
      let weight = data[(region * outputs + output) * features + feature] ?? 0;
      if (centred) {
        let mean = 0;
        for (let one = 0; one < outputs; one++)
          mean += (data[(region * outputs + one) * features + feature] ?? 0) / outputs;
        weight -= mean;
      }
      first[feature]! += share * weight;
      second[feature]! += share * weight * weight;
    }
  }
  const joint = Array.from(second, (square, feature) => (scales[feature] ?? 0) * Math.sqrt(square));
  const whole = sum(joint) || 1;
  return joint
    .map((size, feature) => ({
      feature,
      name: result.features[feature] ?? `#${feature}`,
      share: size / whole,
      effect: (scales[feature] ?? 0) * first[feature]!,
      spread: (scales[feature] ?? 0) * Math.sqrt(Math.max(0, second[feature]! - first[feature]! ** 2)),
    }))
    .sort((a, b) => b.share - a.share || a.feature - b.feature);
}

export interface Segment {
  readonly region: number;
  readonly support: number;
  readonly slope: number;
  readonly from: readonly [value: number, output: number];
  readonly to: readonly [value: number, output: number];
}

export interface Profile {
  readonly segments: readonly Segment[];
  readonly grid: readonly number[];
  /** The accumulated local effect: mean 0 over the data. */
  readonly effect: readonly number[];
}

const MOST_BINS = 64;

/** How one feature acts on one output: every region's line over its own examples, and the lines' common effect. */
export function profileOf(result: LocalLinearModels, feature: number, output: number, most = 600): Profile {
  const [rows = 0, features = 0] = result.data.points.shape;
  const values = Float64Array.from(
    { length: rows },
    (_, row) => result.data.points.data[row * features + feature] ?? NaN,
  );
  const regions = Math.min(most, result.support.data.length);
  const slopes = Float64Array.from(
    result.support.data,
    (_, region) => coefficientsOf(result, region, output)[feature] ?? NaN,
  );
  return {
    segments: segmentsOf(result, values, slopes, output, regions),
    ...accumulate(values, result.data.region.data, slopes),
  };
}

/** Each region's line through its examples' mean, over their range. */
function segmentsOf(
  result: LocalLinearModels,
  values: Float64Array,
  slopes: Float64Array,
  output: number,
  regions: number,
): Segment[] {
  const outputs = result.data.output.shape[1] ?? 1;
  const all = result.support.data.length;
  const low = new Float64Array(all).fill(Infinity);
  const high = new Float64Array(all).fill(-Infinity);
  const middle = new Float64Array(all);
  const level = new Float64Array(all);
  for (let row = 0; row < values.length; row++) {
    const region = result.data.region.data[row] ?? -1;
    if (region < 0) continue;
    const [value, share] = [values[row]!, 1 / (result.support.data[region] ?? 1)];
    low[region] = Math.min(low[region]!, value);
    high[region] = Math.max(high[region]!, value);
    middle[region]! += value * share;
    level[region]! += (result.data.output.data[row * outputs + output] ?? 0) * share;
  }
  const line = (region: number, value: number): readonly [number, number] => [
    value,
    level[region]! + slopes[region]! * (value - middle[region]!),
  ];
  return Array.from({ length: regions }, (_, region) => ({
    region,
    support: result.support.data[region] ?? 0,
    slope: slopes[region]!,
    from: line(region, low[region]!),
    to: line(region, high[region]!),
  }));
}

/** Quantiles of the values, and the mean slope between neighbours added up (Apley and Zhu 2020, equation 6). */
function accumulate(
  values: Float64Array,
  regions: ArrayLike<number>,
  slopes: Float64Array,
): { readonly grid: readonly number[]; readonly effect: readonly number[] } {
  const sorted = values.slice().sort();
  const bins = Math.min(MOST_BINS, Math.max(1, sorted.length - 1));
  const quantiles = Array.from(
    { length: bins + 1 },
    (_, bin) => sorted[Math.max(0, Math.ceil((bin / bins) * sorted.length) - 1)] ?? NaN,
  );
  const grid = [...new Set(quantiles)];
  if (grid.length < 2) return { grid, effect: grid.map(() => 0) };
  const slope = new Float64Array(grid.length - 1);
  const count = new Float64Array(grid.length - 1);
  for (let row = 0; row < values.length; row++) {
    const place = Math.min(grid.length - 2, Math.max(0, firstAtLeast(grid, values[row]!) - 1));
    slope[place]! += slopes[regions[row] ?? 0] ?? 0;
    count[place]! += 1;
  }
  const effect = [0];
  for (let bin = 0; bin + 1 < grid.length; bin++) {
    effect.push(effect[bin]! + (slope[bin]! / Math.max(1, count[bin]!)) * (grid[bin + 1]! - grid[bin]!));
  }
  const mean = values.reduce((total, value) => total + between(grid, effect, value), 0) / values.length;
  return { grid, effect: effect.map((value) => value - mean) };
}

function firstAtLeast(sorted: readonly number[], value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function between(xs: readonly number[], ys: readonly number[], x: number): number {
  const right = Math.min(xs.length - 1, Math.max(1, firstAtLeast(xs, x)));
  const share = (x - xs[right - 1]!) / (xs[right]! - xs[right - 1]!);
  return ys[right - 1]! + share * (ys[right]! - ys[right - 1]!);
}

function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let index = 0; index < values.length; index++) total += values[index] ?? 0;
  return total;
}

/** What the lines of the largest regions pass through: regions × the features named, times their scales if given. */
export function linesOf(
  result: LocalLinearModels,
  output: number,
  features: readonly number[],
  scales: ArrayLike<number> | null,
  most: number,
): Float32Array {
  const regions = Math.min(most, result.support.data.length);
  const out = new Float32Array(regions * features.length);
  for (let region = 0; region < regions; region++) {
    const own = coefficientsOf(result, region, output);
    features.forEach((feature, place) => {
      out[region * features.length + place] = (own[feature] ?? NaN) * (scales ? (scales[feature] ?? 0) : 1);
    });
  }
  return out;
}
