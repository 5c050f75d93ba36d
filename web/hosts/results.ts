/** A run's decoded results by what they are, so that hosts can hand each to its view. */

import type { Component } from "svelte";
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
type Stem = keyof Results;

/** A measure of what a network computes: how it is called, and its view, loaded when it is first looked at. */
export interface FunctionView {
  readonly label: string;
  readonly load: () => Promise<Component<{ result: never }>>;
}

/** In the order in which they are listed. Results of these are fetched one by one when they are shown: they are large. */
export const FUNCTION_VIEWS: Partial<Record<Stem, FunctionView>> = {
  linear_regions: {
    label: "Linear regions",
    load: async () => (await import("../views/LinearRegions.svelte")).default,
  },
  regions_on_line: {
    label: "Along a line",
    load: async () => (await import("../views/RegionsOnLine.svelte")).default,
  },
  neuron_surface: {
    label: "Neurons",
    load: async () => (await import("../views/NeuronSurface.svelte")).default,
  },
  input_folding: {
    label: "Folding",
    load: async () => (await import("../views/InputFolding.svelte")).default,
  },
  loss_landscape: {
    label: "Loss landscape",
    load: async () => (await import("../views/LossLandscape.svelte")).default,
  },
  curvature: { label: "Curvature", load: async () => (await import("../views/Curvature.svelte")).default },
  weight_curve: { label: "Weight curve", load: async () => (await import("../views/WeightCurve.svelte")).default },
  local_linear_models: {
    label: "Local linear models",
    load: async () => (await import("../views/LocalLinearModels.svelte")).default,
  },
  input_jacobian: {
    label: "Jacobian",
    load: async () => (await import("../views/InputJacobian.svelte")).default,
  },
};

/** A measure of one moment of training, or (`epoch` null) of the network as it ended. */
export interface Moment {
  readonly name: string;
  readonly epoch: number | null;
}

/** All moments at which one thing was measured, the earliest first and the final network last. */
export interface Measured {
  readonly stem: Stem;
  readonly label: string;
  readonly moments: readonly Moment[];
}

/** Whether a result, by its schema, is one that the views of what a network computes show. */
export function isFunction(schema: string): boolean {
  return (schema.split("/")[0] ?? "") in FUNCTION_VIEWS;
}

/** What was measured of a run's function, from the names and schemas of its results. */
export function measuredFunctions(entries: readonly { readonly name: string; readonly schema: string }[]): Measured[] {
  const at = ({ epoch }: Moment): number => epoch ?? Infinity;
  return (Object.entries(FUNCTION_VIEWS) as [Stem, FunctionView][]).flatMap(([stem, { label }]) => {
    const moments = entries
      .filter(({ schema }) => schema.split("/")[0] === stem)
      .map(({ name }): Moment => ({ name, epoch: epochOf(name) }))
      .sort((a, b) => (at(a) === at(b) ? a.name.localeCompare(b.name) : at(a) - at(b)));
    return moments.length ? [{ stem, label, moments }] : [];
  });
}

/** `pellucid measure --checkpoints` calls them `<stem>_epoch_0004`. */
function epochOf(name: string): number | null {
  const epoch = /_epoch_(\d+)$/.exec(name)?.[1];
  return epoch === undefined ? null : Number(epoch);
}

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
