/** A run's decoded results by what they are, so that hosts can hand each to its view. */

import type { Component } from "svelte";
import type {
  ClassificationEvaluation,
  CrossValidation,
  DataReport,
  Diagnosis,
  LearningRateRange,
  NetworkOutline,
  RegressionEvaluation,
  Results,
  TraceStepper,
} from "../api/types";
import type { Settings } from "./view_settings";

const SPLITS = ["test", "validation", "train"];

export type AnyResult = Results[keyof Results];
type Stem = keyof Results;

/** The tab that shows a measure: what the network computes, or where its training ended. */
export type MeasureRoom = "function" | "geometry";

/** A measure of a network: how it is called, and its view, loaded when it is first looked at. */
export interface MeasureView {
  readonly room: MeasureRoom;
  readonly label: string;
  readonly load: () => Promise<Component<{ result: never }>>;
  /** The view's bindable props that the address keeps, with their defaults. */
  readonly state?: Settings;
  /**
   * The view takes all moments as `series`, so that it can draw them alike, and as `at` its place among them. "brief":
   * only what it compares them by.
   */
  readonly series?: boolean | "brief";
  /** That place moves smoothly from one moment to the next. */
  readonly smooth?: boolean;
}

/** In the order in which they are listed. Results of these are fetched one by one when they are shown: they are large. */
export const MEASURE_VIEWS: Partial<Record<Stem, MeasureView>> = {
  linear_regions: {
    room: "function",
    label: "Linear regions",
    load: async () => (await import("../views/LinearRegions.svelte")).default,
    state: { coloring: "", layer: -1, unit: -1, output: 0, edges: true, boundary: true, examples: true },
  },
  regions_on_line: {
    room: "function",
    label: "Along a line",
    load: async () => (await import("../views/RegionsOnLine.svelte")).default,
    state: { slopes: false },
  },
  neuron_surface: {
    room: "function",
    label: "Neurons",
    load: async () => (await import("../views/NeuronSurface.svelte")).default,
    state: { layer: "", unit: -1, into: 0, same: false, examples: true },
    series: "brief",
  },
  input_folding: {
    room: "function",
    label: "Folding",
    load: async () => (await import("../views/InputFolding.svelte")).default,
    state: { position: 0, grid: true, examples: true },
  },
  loss_landscape: {
    room: "function",
    label: "Loss landscape",
    load: async () => (await import("../views/LossLandscape.svelte")).default,
    state: { scale: "" },
    series: true,
  },
  curvature: {
    room: "function",
    label: "Curvature",
    load: async () => (await import("../views/Curvature.svelte")).default,
    state: { sort: "" },
  },
  weight_curve: {
    room: "function",
    label: "Weight curve",
    load: async () => (await import("../views/WeightCurve.svelte")).default,
    state: { at: null },
  },
  local_linear_models: {
    room: "function",
    label: "Local linear models",
    load: async () => (await import("../views/LocalLinearModels.svelte")).default,
    state: { output: "", feature: "", region: -1, sort: "" },
  },
  input_jacobian: {
    room: "function",
    label: "Jacobian",
    load: async () => (await import("../views/InputJacobian.svelte")).default,
    state: { log: false },
  },
  geometry_history: {
    room: "geometry",
    label: "Along training",
    load: async () => (await import("../views/GeometryHistory.svelte")).default,
    state: { lens: "", split: "train", quantity: "separation", sort: "" },
  },
  neural_collapse: {
    room: "geometry",
    label: "Collapse",
    load: async () => (await import("../views/NeuralCollapse.svelte")).default,
  },
  regression_collapse: {
    room: "geometry",
    label: "Collapse of a regression",
    load: async () => (await import("../views/RegressionCollapse.svelte")).default,
  },
  layer_collapse: {
    room: "geometry",
    label: "Layer by layer",
    load: async () => (await import("../views/LayerCollapse.svelte")).default,
    state: { quantity: "nc1" },
  },
  class_geometry: {
    room: "geometry",
    label: "Classes",
    load: async () => (await import("../views/ClassGeometry.svelte")).default,
    state: { angle: [0.6, 0.35] },
    series: true,
    smooth: true,
  },
  calibration: {
    room: "geometry",
    label: "Calibration",
    load: async () => (await import("../views/Calibration.svelte")).default,
    state: { binning: "width" },
  },
  margins: {
    room: "geometry",
    label: "Margins",
    load: async () => (await import("../views/Margins.svelte")).default,
  },
  robustness: {
    room: "geometry",
    label: "Robustness",
    load: async () => (await import("../views/Robustness.svelte")).default,
  },
  information_plane: {
    room: "geometry",
    label: "Information plane",
    load: async () => (await import("../views/InformationPlane.svelte")).default,
    state: { estimator: "kernel" },
  },
};

/** A measure of one moment of training, or (`epoch` null) of the network as it ended. */
export interface Moment {
  readonly name: string;
  readonly epoch: number | null;
  /** Another one once the result of that name was replaced. */
  readonly version: string;
}

/** All moments at which one thing was measured on one split, the earliest first and the final network last. */
export interface Measured {
  readonly stem: Stem;
  /** Tells it apart from the same measure of another split, or otherwise scaled. */
  readonly key: string;
  readonly label: string;
  readonly moments: readonly Moment[];
}

/** Whether a result, by its schema, is large and so fetched only when it is shown: a measure, or a script's record. */
export function isFetchedLate(schema: string): boolean {
  const stem = schema.split("/")[0] ?? "";
  return stem in MEASURE_VIEWS || stem === "watched_script";
}

/** What was measured of a run's network, from the names and schemas of its results. */
export function measuredIn(
  room: MeasureRoom,
  entries: readonly { readonly name: string; readonly schema: string; readonly version?: string }[],
): Measured[] {
  const at = ({ epoch }: Moment): number => epoch ?? Infinity;
  const views = (Object.entries(MEASURE_VIEWS) as [Stem, MeasureView][]).filter(([, view]) => view.room === room);
  return views.flatMap(([stem, { label }]) => {
    const mine = entries.filter(({ schema }) => schema.split("/")[0] === stem);
    const keys = [...new Set(mine.map(({ name }) => name.replace(EPOCH, "")))].sort();
    return keys.map((key) => {
      const told = key.startsWith(`${stem}_`) ? key.slice(stem.length + 1).replaceAll("_", ", ") : "";
      const moments = mine
        .filter(({ name }) => name.replace(EPOCH, "") === key)
        .map(({ name, version = "" }): Moment => ({ name, epoch: epochOf(name), version }))
        .sort((a, b) => (at(a) === at(b) ? a.name.localeCompare(b.name) : at(a) - at(b)));
      return { stem, key, label: told ? `${label} (${told})` : label, moments };
    });
  });
}

const EPOCH = /_epoch_(\d+)$/;

/** `pellucid measure --checkpoints` calls them `<stem>_epoch_0004`. */
function epochOf(name: string): number | null {
  const epoch = EPOCH.exec(name)?.[1];
  return epoch === undefined ? null : Number(epoch);
}

export interface RunResults {
  readonly dataReport: DataReport | null;
  readonly diagnosis: Diagnosis | null;
  readonly outline: NetworkOutline | null;
  readonly rangeTest: LearningRateRange | null;
  readonly crossValidation: CrossValidation | null;
  /** Test first, then validation, then training. */
  readonly classification: readonly ClassificationEvaluation[];
  readonly regression: readonly RegressionEvaluation[];
  readonly traces: readonly TraceStepper[];
}

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
    diagnosis: one("diagnosis"),
    outline: one("network_outline"),
    rangeTest: one("learning_rate_range"),
    crossValidation: one("cross_validation"),
    classification: all("classification_evaluation"),
    regression: all("regression_evaluation"),
    traces: results.filter((result) => stemOf(result) === "trace_stepper") as TraceStepper[],
  };
}

/** What the classes are called, by their numbers; none for a regression. */
export function classNamesOf({ dataReport, classification }: RunResults): readonly string[] {
  return dataReport?.classes.length ? dataReport.classes : (classification[0]?.classes ?? []);
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
