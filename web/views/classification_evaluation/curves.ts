/** ROC and precision-recall curves: which class each belongs to, and which to show first. */

import type { ClassificationEvaluation } from "../../api/types";

export type Curve = ClassificationEvaluation["roc"][number];

/** One class's curve. */
export interface ClassCurve {
  name: string;
  curve: Curve;
}

/** Curves with the names of their classes; for two classes only the second has one. */
export function namedCurves(curves: readonly Curve[], classes: readonly string[]): ClassCurve[] {
  const offset = classes.length - curves.length;
  return curves.map((curve, index) => ({ name: classes[offset > 0 ? index + offset : index] ?? String(index), curve }));
}

/** The class with the smallest area: the one worth looking at first. */
export function hardestClass(curves: readonly ClassCurve[]): string {
  let hardest = curves[0];
  for (const one of curves) {
    if (one.curve.area < (hardest?.curve.area ?? Infinity) || Number.isNaN(hardest?.curve.area)) hardest = one;
  }
  return hardest?.name ?? "";
}

/** The mean of the areas that exist. */
export function meanArea(curves: readonly ClassCurve[]): number {
  const areas = curves.map((one) => one.curve.area).filter(Number.isFinite);
  return areas.length ? areas.reduce((a, b) => a + b, 0) / areas.length : NaN;
}
