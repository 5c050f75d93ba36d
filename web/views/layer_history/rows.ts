/** One layer's rows of the tables `layers` and `histograms`. */

import { label, numbers, rowsWhere, take, type Frame } from "../../api/frames";
import type { Histogram } from "./rebin";

export const KINDS = ["activation", "gradient", "weight"] as const;

export type DistributionKind = (typeof KINDS)[number];

/** Distributions of one kind over time, oldest first. */
export interface Distributions {
  steps: Float64Array;
  histograms: Histogram[];
  /** How many values the tensor has; NaN where the table does not say. */
  elements: Float64Array;
}

/** The rows of one layer and kind, in order of their steps. */
export function distributionsOf(histograms: Frame, layer: string, kind: DistributionKind): Distributions {
  const rows = rowsWhere(histograms, { layer, kind });
  const steps = numbers(histograms, "step");
  const sorted = Array.from(rows).sort((a, b) => steps[a]! - steps[b]!);
  const [low, high, counts, elements] = ["low", "high", "counts", "elements"].map((name) => numbers(histograms, name));
  const column = histograms.columns["counts"];
  const width = column?.kind === "numbers" ? column.width : 1;
  return {
    steps: Float64Array.from(sorted, (row) => steps[row]!),
    histograms: sorted.map((row) => ({
      low: low![row]!,
      high: high![row]!,
      counts: counts!.subarray(row * width, (row + 1) * width),
    })),
    elements: Float64Array.from(sorted, (row) => elements![row] ?? NaN),
  };
}

/** Kinds that were recorded for a layer. */
export function kindsOf(histograms: Frame, layer: string): DistributionKind[] {
  const found = new Set<string>();
  for (const row of rowsWhere(histograms, { layer })) found.add(label(histograms, "kind", row));
  return KINDS.filter((kind) => found.has(kind));
}

/** A layer's statistics as columns over its steps. */
export function statisticsOf(layers: Frame, layer: string): Frame {
  const rows = rowsWhere(layers, { layer });
  const steps = numbers(layers, "step");
  return take(
    layers,
    Array.from(rows).sort((a, b) => steps[a]! - steps[b]!),
  );
}

/** Whether a column holds anything, be it NaN: what a layer cannot have is all null. */
export function hasNumbers(values: ArrayLike<number | null | undefined>): boolean {
  for (let i = 0; i < values.length; i += 1) if (typeof values[i] === "number") return true;
  return false;
}

/** Index of the last step at or before `step`; 0 when all are later. */
export function indexAt(steps: ArrayLike<number>, step: number): number {
  let low = 0;
  let high = steps.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (steps[middle]! <= step) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}

/** Index of the step nearest to `step`. */
export function indexNear(steps: ArrayLike<number>, step: number): number {
  const before = indexAt(steps, step);
  const after = Math.min(steps.length - 1, before + 1);
  return Math.abs(steps[after]! - step) < Math.abs(step - steps[before]!) ? after : before;
}
