/** A run's decoded results by what they are, so that hosts can hand each to its view. */

import type {
  ClassificationEvaluation,
  CrossValidation,
  DataReport,
  LearningRateRange,
  NetworkOutline,
  RegressionEvaluation,
  Results,
  TraceStepper,
} from "../api/types";

export type AnyResult = Results[keyof Results];

export interface RunResults {
  readonly dataReport: DataReport | null;
  readonly outline: NetworkOutline | null;
  readonly rangeTest: LearningRateRange | null;
  readonly crossValidation: CrossValidation | null;
  /** Test first, then validation, then training. */
  readonly classification: readonly ClassificationEvaluation[];
  readonly regression: readonly RegressionEvaluation[];
  readonly traces: readonly TraceStepper[];
}

const SPLITS = ["test", "validation", "train"];

/** Sort results by their schema; unknown ones (of a newer Pellucid) are left out. */
export function sortResults(results: readonly AnyResult[]): RunResults {
  const one = <Stem extends keyof Results>(stem: Stem) =>
    (results.find((result) => stemOf(result) === stem) as Results[Stem] | undefined) ?? null;
  const all = <Stem extends "classification_evaluation" | "regression_evaluation">(stem: Stem) =>
    (results.filter((result) => stemOf(result) === stem) as Results[Stem][]).sort(
      (a, b) => order(a.split) - order(b.split),
    );
  return {
    dataReport: one("data_report"),
    outline: one("network_outline"),
    rangeTest: one("learning_rate_range"),
    crossValidation: one("cross_validation"),
    classification: all("classification_evaluation"),
    regression: all("regression_evaluation"),
    traces: results.filter((result) => stemOf(result) === "trace_stepper") as TraceStepper[],
  };
}

/** The rows that the network gets most wrong, on the split that tells most: worth tracing. */
export function mostWrong(results: RunResults, most = 5): { readonly split: string; readonly rows: readonly number[] } {
  const told = [...results.classification, ...results.regression].find((result) => result.worst.rows.data.length > 0);
  if (!told) return { split: "", rows: [] };
  return { split: told.split, rows: Array.from(told.worst.rows.data, Number).slice(0, most) };
}

function stemOf(result: AnyResult): string {
  return result.schema.split("/")[0] ?? "";
}

function order(split: string): number {
  const place = SPLITS.indexOf(split);
  return place < 0 ? SPLITS.length : place;
}
