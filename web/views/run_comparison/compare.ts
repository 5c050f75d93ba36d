/** Several runs side by side: which curves they share, and in which settings they differ. */

import type { Frame } from "../../api/frames";
import { figures, label, numbers } from "../../api/frames";
import type { Json, RunDetail } from "../../api/types";
import { categoryColor } from "../../parts/color";
import { formatMetric, formatMetricTick, formatName, formatNumber } from "../../parts/format";
import { orderMetrics } from "../metric_order";
import {
  assemble,
  isMeasured,
  metricLine,
  placer,
  smoothCurve,
  type Axis,
  type CurveChart,
  type Line,
} from "../training_curves/curves";

export interface ComparedRun {
  readonly detail: RunDetail;
  readonly steps: Frame;
  readonly metrics: Frame;
}

/** A curve that can be compared: the training loss of each step, or a metric of a split. */
export interface CurveChoice {
  /** "loss" for the steps' loss, otherwise "split/metric". */
  readonly value: string;
  readonly label: string;
}

const STEP_LOSS = "loss";

/** What at least one run recorded: first what most of them did, and of that the validation loss and the training loss. */
export function curveChoices(runs: readonly ComparedRun[]): CurveChoice[] {
  const found = new Map<string, number>();
  for (const { metrics, steps } of runs) {
    const own = new Set(steps.rows > 0 ? [STEP_LOSS] : []);
    for (let row = 0; row < metrics.rows; row++)
      own.add(`${label(metrics, "split", row)}/${label(metrics, "metric", row)}`);
    for (const one of own) found.set(one, (found.get(one) ?? 0) + 1);
  }
  const rank = (value: string) => ["validation/loss", STEP_LOSS, "train/loss"].indexOf(value) >>> 0;
  const order = [...found].sort(([a, many], [b, others]) => others - many || rank(a) - rank(b));
  return order.map(([value]) => ({
    value,
    label: value === STEP_LOSS ? "Training loss, each step" : formatName(value.replace("/", " ").trim()),
  }));
}

/** One curve of every run on a common axis. Runs are told apart by colour, and after eight also by dashes. */
export function compareCurves(runs: readonly ComparedRun[], choice: string, axis: Axis, smoothing: number): CurveChart {
  const names = distinctNames(runs);
  const [split = "", metric = "loss"] = choice === STEP_LOSS ? ["", "loss"] : choice.split("/");
  const lines = runs.flatMap((run, index): Line[] => {
    const line =
      choice === STEP_LOSS
        ? stepLoss(run, axis, smoothing)
        : metricLine(run.metrics, metric, split, placer(run.steps, axis));
    if (!line) return [];
    const series = { ...line.series, label: names[index] ?? "", color: categoryColor(index), dashed: index >= 8 };
    return [{ ...line, series }];
  });
  const chart = assemble(
    choice,
    formatName(choice.replace("/", " ")),
    lines,
    (value) => formatMetric(metric, value),
    false,
  );
  return { ...chart, tick: (value, increment) => formatMetricTick(metric, value, increment) };
}

function stepLoss({ steps }: ComparedRun, axis: Axis, smoothing: number): Line | null {
  const losses = figures(steps, "loss");
  if (!isMeasured(losses)) return null;
  const place = placer(steps, axis);
  const step = numbers(steps, "step");
  const time = numbers(steps, "time_s");
  const x = Array.from({ length: steps.rows }, (_, row) => place(step[row] ?? 0, time[row] ?? 0));
  return {
    x,
    y: smoothCurve(losses, step, smoothing),
    series: { label: "", color: "", markGaps: true },
  };
}

/** Names that tell the runs apart: the name, with the identifier where it is not unique. */
export function distinctNames(runs: readonly ComparedRun[]): string[] {
  const names = runs.map(({ detail }) => detail.name || detail.id);
  return names.map((name, index) =>
    names.filter((one) => one === name).length > 1 ? `${name} (${runs[index]?.detail.id ?? ""})` : name,
  );
}

export interface ComparedRow {
  readonly name: string;
  /** One text a run; '' where it has none. */
  readonly values: readonly string[];
  /** Which runs are best, by index; empty where that makes no sense. */
  readonly best: readonly number[];
}

/** Settings, flattened to `optimizer.name`, that are not the same in all runs. */
export function differingSettings(runs: readonly ComparedRun[]): ComparedRow[] {
  const facts = ({ detail }: ComparedRun): Record<string, Json> => ({
    source: detail.source,
    model: detail.model,
    seed: detail.seed,
    device: detail.device,
    version: detail.version,
    ...detail.settings,
  });
  const flat = runs.map((run) => flatten(facts(run)));
  const names = [...new Set(flat.flatMap((settings) => [...settings.keys()]))];
  return names
    .map((name) => ({ name, values: flat.map((settings) => settings.get(name) ?? ""), best: [] }))
    .filter(({ values }) => new Set(values).size > 1);
}

/** Headline figures of all runs, with the best marked where we know which way is up. */
export function comparedMetrics(runs: readonly ComparedRun[]): ComparedRow[] {
  const names = orderMetrics([...new Set(runs.flatMap(({ detail }) => Object.keys(detail.metrics)))]);
  return names.map((name) => {
    const values = runs.map(({ detail }) => detail.metrics[name] ?? null);
    return {
      name,
      values: values.map((value) => (value === null ? "" : formatMetric(name, value))),
      best: bestOf(name, values),
    };
  });
}

const UPWARD = /accuracy|precision|recall|f1|r2|auc/;
const DOWNWARD = /loss|mae|mse|rmse|error/;

function bestOf(name: string, values: readonly (number | null)[]): number[] {
  const finite = values.filter((value): value is number => value !== null && Number.isFinite(value));
  if (finite.length < 2 || new Set(finite).size === 1) return [];
  const direction = UPWARD.test(name) ? Math.max : DOWNWARD.test(name) ? Math.min : null;
  if (!direction) return [];
  const best = direction(...finite);
  return values.flatMap((value, index) => (value === best ? [index] : []));
}

/** Nested settings as dotted names and texts. */
export function flatten(settings: Readonly<Record<string, Json>>, prefix = ""): Map<string, string> {
  const out = new Map<string, string>();
  for (const [key, value] of Object.entries(settings)) {
    const name = prefix ? `${prefix}.${key}` : key;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      for (const [inner, text] of flatten(value as Record<string, Json>, name)) out.set(inner, text);
    } else out.set(name, writeSetting(value));
  }
  return out;
}

function writeSetting(value: Json): string {
  if (typeof value === "number") return formatNumber(value, 6);
  if (typeof value === "string") return value;
  if (value === null || value === undefined) return "–";
  return Array.isArray(value) && value.every((one) => typeof one !== "object")
    ? value.join(", ") || "none"
    : JSON.stringify(value);
}
