/** What is drawn of a loss's curvature: eigenvalues with their errors, the density, and how far a step may go. */

import type { Curvature, SpectralDensity } from "../../api/types";

export interface Eigenvalue {
  readonly key: string;
  /** "1", "2" … from the largest, "−1" the smallest. */
  readonly rank: string;
  readonly value: number;
  /** ‖Hv − λv‖: an eigenvalue lies within it. */
  readonly residual: number;
  /** Of the eigenvalue's error; NaN where it was not estimated. */
  readonly bound: number;
  /** Learning rate times eigenvalue; NaN without a learning rate. */
  readonly step: number;
}

/** Largest first, then the smallest ones found; one that is both stands once. */
export function eigenvaluesOf(result: Curvature): Eigenvalue[] {
  const rate = result.learning_rate ?? NaN;
  const top = Array.from(result.eigenvalues.data, (value, index) => ({
    key: `top ${index}`,
    rank: String(index + 1),
    value,
    residual: result.residuals.data[index] ?? NaN,
    bound: result.bounds.data[index] ?? NaN,
    step: rate * value,
  }));
  const least = top[top.length - 1]?.value ?? Infinity;
  const bottom = Array.from(result.smallest.data, (value, index) => ({
    key: `bottom ${index}`,
    rank: `−${index + 1}`,
    value,
    residual: result.smallest_residuals.data[index] ?? NaN,
    bound: NaN,
    step: rate * value,
  })).filter(({ value }) => value < least);
  return [...top, ...bottom.reverse()];
}

/** The span that bars of eigenvalues are drawn over: with zero, and the farthest ends of their errors. */
export function spanOf(eigenvalues: readonly Eigenvalue[]): readonly [low: number, high: number] {
  const ends = eigenvalues.flatMap(({ value, residual }) => {
    const error = Number.isFinite(residual) ? residual : 0;
    return [value - error, value + error];
  });
  const finite = ends.filter((end) => Number.isFinite(end));
  const [low, high] = [Math.min(0, ...finite), Math.max(0, ...finite)];
  return high > low ? [low, high] : [0, 1];
}

/** lr·λ of the sharpest direction; NaN without a learning rate. */
export function stabilityOf(result: Curvature): number {
  return (result.learning_rate ?? NaN) * (result.eigenvalues.data[0] ?? NaN);
}

export interface DensityCurve {
  readonly x: ArrayLike<number>;
  readonly density: ArrayLike<number>;
  readonly low: Float64Array;
  readonly high: Float64Array;
  /** What a logarithmic axis shows of it. */
  readonly range: [number, number];
}

const DECADES = 6;

/** The density with one standard error to both sides. */
export function densityCurve(density: SpectralDensity): DensityCurve {
  const error = (index: number): number => {
    const value = density.error.data[index] ?? NaN;
    return Number.isFinite(value) ? value : 0;
  };
  const highest = Math.max(...density.density.data);
  const floor = highest * 10 ** -DECADES;
  return {
    x: density.grid.data,
    density: Float64Array.from(density.density.data, (value) => (value < floor ? NaN : value)),
    low: Float64Array.from(density.density.data, (value, index) => Math.max(floor, value - error(index))),
    high: Float64Array.from(density.density.data, (value, index) => Math.max(floor, value + error(index))),
    range: [floor, highest * 2],
  };
}
