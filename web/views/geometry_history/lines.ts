/** Which quantities of a geometry history stand together in a chart, and as what lines. */

import type { GeometryHistory } from "../../api/types";
import type { ChartBand, ChartSeries } from "../../parts/Chart.svelte";
import { categoryColor, splitColor } from "../../parts/color";

export type Series = GeometryHistory["series"][number];

/** Some quantities in one chart. */
export interface Together {
  readonly title: string;
  readonly subtitle: string;
  readonly quantities: readonly string[];
  readonly log?: boolean;
}

export interface Lines {
  readonly x: readonly number[];
  /** Of a logarithmic y axis: what is drawn, with a little room. */
  readonly range: readonly [number, number] | undefined;
  readonly series: readonly ChartSeries[];
  readonly bands: readonly ChartBand[];
}

/** A logarithmic axis has no place for the untrained network: it stands at half an epoch. */
export const UNTRAINED = 0.5;

/** In the order in which they are offered. `weights` are shown with the errors. */
export const LENSES = ["errors", "collapse", "layers", "calibration", "margins", "robustness"] as const;

export const TOGETHER: Readonly<Record<string, readonly Together[]>> = {
  errors: [
    { title: "Error", subtitle: "share that is wrong", quantities: ["error"] },
    { title: "Loss", subtitle: "nats", quantities: ["loss"], log: true },
    {
      title: "Labels changed on purpose",
      subtitle: "labels left as they are, changed ones given back, and changed ones seen through",
      quantities: ["accuracy_clean", "accuracy_flipped", "accuracy_flipped_true"],
    },
    {
      title: "Distance from the start",
      subtitle: "‖θ − θ₀‖, beside the length of the weights",
      quantities: ["distance", "norm"],
    },
  ],
  collapse: [
    { title: "NC1, variability", subtitle: "Tr(Σ_W Σ_B†)/C", quantities: ["nc1"], log: true },
    {
      title: "NC2, equal lengths",
      subtitle: "std ÷ mean of the centres' lengths",
      quantities: ["equinorm_centres"],
      log: true,
    },
    {
      title: "NC2, maximal angles",
      subtitle: "mean |cos + 1/(C−1)| of the centres",
      quantities: ["maximal_angle_centres"],
      log: true,
    },
    { title: "NC3, self-duality", subtitle: "‖W/‖W‖ − Ṁ/‖Ṁ‖‖", quantities: ["nc3"], log: true },
    { title: "NC4, mismatch", subtitle: "classifier ≠ nearest training centre", quantities: ["nc4"], log: true },
    { title: "CDNV", subtitle: "mean over pairs of (v + v') ÷ 2‖μ − μ'‖²", quantities: ["cdnv"], log: true },
  ],
  layers: [
    {
      title: "Separation law",
      subtitle: "each layer leaves the share ρ of D; R² of the law",
      quantities: ["decay", "decay_fit"],
    },
  ],
  calibration: [
    {
      title: "Confidence and accuracy",
      subtitle: "confidence above accuracy is too much of it",
      quantities: ["accuracy", "confidence"],
    },
    { title: "Calibration error", subtitle: "ECE, 15 bins of equal width", quantities: ["ece"], log: true },
    { title: "Negative log likelihood", subtitle: "nats", quantities: ["nll"], log: true },
    { title: "Brier score", subtitle: "0 to 2", quantities: ["brier"], log: true },
  ],
  margins: [
    {
      title: "Output margin",
      subtitle: "z_y − the largest other logit: 5 %, median, 95 %",
      quantities: ["output_low", "output_median", "output_high"],
    },
    {
      title: "Cosine margin",
      subtitle: "between features and classifier's rows",
      quantities: ["cosine_low", "cosine_median", "cosine_high"],
    },
    {
      title: "Distance in feature space",
      subtitle: "to the nearest boundary, exact",
      quantities: ["feature_distance_low", "feature_distance_median", "feature_distance_high"],
    },
    {
      title: "Distance in the input",
      subtitle: "to the nearest boundary of the linearisation",
      quantities: ["input_distance_low", "input_distance_median", "input_distance_high"],
    },
  ],
  robustness: [
    {
      title: "Gaussian noise",
      subtitle: "accuracy; sizes in the inputs' standard deviation",
      quantities: ["accuracy", "noise_0.05", "noise_0.1", "noise_0.2"],
    },
    {
      title: "FGSM",
      subtitle: "accuracy; sizes in the inputs' standard deviation",
      quantities: ["accuracy", "fgsm_0.05", "fgsm_0.1", "fgsm_0.2"],
    },
  ],
};

/** Lenses whose quantities stand under this one. */
export function belongsTo(lens: string, series: Series): boolean {
  return series.lens === lens || (lens === "errors" && series.lens === "weights");
}

export const numbersOf = (array: { readonly data: ArrayLike<number | bigint> }): number[] =>
  Array.from(array.data, Number);

/** The mean over runs of what is known; NaN for nothing. */
export function meanOf(array: { readonly data: ArrayLike<number | bigint> }): number {
  const known = numbersOf(array).filter(Number.isFinite);
  return known.length ? known.reduce((sum, one) => sum + one, 0) / known.length : NaN;
}

/** Quantities of the whole network over epochs: splits by colour where there is one quantity, by dashes where several. */
export function linesOf(result: GeometryHistory, lens: string, quantities: readonly string[]): Lines {
  const found = quantities.flatMap((quantity, place) =>
    result.series
      .filter((one) => belongsTo(lens, one) && one.quantity === quantity && one.layer === "")
      .map((one) => ({ one, place })),
  );
  const epochs = [...new Set(found.flatMap(({ one }) => numbersOf(one.epochs)))].sort((a, b) => a - b);
  const index = new Map(epochs.map((epoch, place) => [epoch, place]));
  const spread = (one: Series, values: readonly number[]): (number | undefined)[] => {
    const out = new Array<number | undefined>(epochs.length).fill(undefined);
    numbersOf(one.epochs).forEach((epoch, place) => (out[index.get(epoch)!] = values[place]));
    return out;
  };
  const several = quantities.length > 1;
  const told = several && new Set(found.map(({ one }) => one.split)).size < 2;
  const color = (one: Series, place: number): string =>
    several || !one.split ? categoryColor(place) : splitColor(one.split);
  const dashed = (one: Series): boolean => several && one.split !== "" && one.split !== "train";
  const drawn = found.flatMap(({ one }) => numbersOf(one.values)).filter((value) => value > 0);
  return {
    x: epochs.map((epoch) => Math.max(epoch, UNTRAINED)),
    range: drawn.length ? [Math.min(...drawn) / 1.3, Math.max(...drawn) * 1.3] : undefined,
    series: found.map(({ one, place }) => ({
      label: [several || !one.split ? nameOf(one) : "", told ? "" : one.split].filter(Boolean).join(", "),
      values: spread(one, numbersOf(one.values)),
      color: color(one, place),
      dashed: dashed(one),
      points: epochs.length < 40,
    })),
    bands: found
      .filter(({ one }) => numbersOf(one.low).some(Number.isFinite))
      .map(({ one, place }) => ({
        low: spread(one, numbersOf(one.low)).map((value) => value ?? NaN),
        high: spread(one, numbersOf(one.high)).map((value) => value ?? NaN),
        color: color(one, place),
      })),
  };
}

const SHORT: Readonly<Record<string, string>> = {
  accuracy_clean: "left as they are",
  accuracy_flipped: "changed, given back",
  accuracy_flipped_true: "changed, seen through",
  distance: "‖θ − θ₀‖",
  norm: "‖θ‖",
  decay: "ρ",
  decay_fit: "R²",
  confidence: "confidence",
};

/** What a line is called beside others of its chart. */
function nameOf(one: Series): string {
  const figure = /_(low|median|high)$/.exec(one.quantity)?.[1];
  if (figure) return { low: "5 %", median: "median", high: "95 %" }[figure] ?? figure;
  const size = /_(\d[\d.]*)$/.exec(one.quantity)?.[1];
  return SHORT[one.quantity] ?? size ?? one.label;
}

/** Layers × epochs of one quantity on one split, row by row; empty where it was not measured everywhere. */
export function layersOver(
  result: GeometryHistory,
  split: string,
  quantity: string,
): { readonly epochs: number[]; readonly values: number[]; readonly label: string } {
  const rows = result.layers.map((layer) =>
    result.series.find(
      (one) => one.lens === "layers" && one.layer === layer && one.split === split && one.quantity === quantity,
    ),
  );
  const first = rows[0];
  const epochs = first ? numbersOf(first.epochs) : [];
  const whole = rows.flatMap((row) => (row ? numbersOf(row.values) : []));
  if (!first || whole.length !== epochs.length * rows.length) return { epochs: [], values: [], label: "" };
  return { epochs, values: whole, label: first.label };
}
