/** From the tables `steps` and `metrics` to the charts of a run: pure arithmetic, no drawing. */

import { figures, label, numbers, type Frame } from "../../api/frames";
import type { ChartMark, ChartSeries } from "../../parts/chart_options";
import { splitColor } from "../../parts/color";
import { formatDuration, formatMetric, formatMetricTick, formatName, formatNumber } from "../../parts/format";

export type Axis = "step" | "epoch" | "time";

export interface CurveSource {
  readonly steps: Frame;
  readonly metrics: Frame;
  readonly events?: Frame;
}

export interface CurveChart {
  readonly key: string;
  readonly title: string;
  readonly x: readonly number[];
  readonly series: readonly ChartSeries[];
  readonly format: (value: number) => string;
  readonly tick?: (value: number, increment: number) => string;
  /** Whether a logarithmic axis can say something: every number is positive. */
  readonly canLog: boolean;
  /** A few values so many times as large as all others are marked, instead of flattening the rest. */
  readonly outliers?: number;
  /** Drawn logarithmically unless asked otherwise. */
  readonly prefersLog: boolean;
}

/** One line before it is laid on the chart's common x. */
export interface Line {
  readonly x: ArrayLike<number>;
  /** null where nothing was measured. */
  readonly y: ArrayLike<number | null>;
  readonly series: Omit<ChartSeries, "values">;
}

export const AXIS_LABELS: Readonly<Record<Axis, string>> = { step: "step", epoch: "epoch", time: "time" };

/** How a value of an axis is written. */
export function axisFormat(axis: Axis): (value: number) => string {
  if (axis === "time") return (value) => (value === 0 ? "0" : formatDuration(value));
  if (axis === "epoch") return (value) => formatNumber(value, 4);
  return (value) => (Number.isInteger(value) ? formatNumber(value, 6) : ""); // there is no step between two
}

/** Whether a column holds anything, be it NaN. */
export function isMeasured(values: ArrayLike<number | null>): boolean {
  return Array.prototype.some.call(values, (value: number | null) => value !== null);
}

/** All charts of a run in the order in which they are read: loss, the metrics, then the optimiser's. */
export function buildCharts(source: CurveSource, axis: Axis, smoothing: number): CurveChart[] {
  const place = placer(source.steps, axis);
  const charts = [lossChart(source, place, smoothing)];
  for (const metric of metricNames(source.metrics)) charts.push(metricChart(source.metrics, metric, place));
  charts.push(
    stepChart(source, place, "learning_rate", "Learning rate", (value) => formatNumber(value, 3)),
    stepChart(source, place, "gradient_norm", "Gradient norm", (value) => formatNumber(value, 3), true),
    { ...stepChart(source, place, "step_time_s", "Step time", formatDuration), outliers: 2.5 }, // the first steps'
  );
  return charts.filter((chart) => chart.series.length > 0);
}

/** The metrics besides the loss, in order of appearance. */
export function metricNames(metrics: Frame): string[] {
  const names = new Set<string>();
  for (let row = 0; row < metrics.rows; row++) names.add(label(metrics, "metric", row));
  names.delete("loss");
  return [...names].filter(Boolean);
}

/** Vertical lines for what happened and matters: early stopping, resuming, errors. */
export function eventMarks(source: CurveSource, axis: Axis): ChartMark[] {
  const events = source.events;
  if (!events) return [];
  const place = placer(source.steps, axis);
  const steps = numbers(events, "step");
  const times = numbers(events, "time_s");
  const marks: ChartMark[] = [];
  for (let row = 0; row < events.rows; row++) {
    const kind = label(events, "kind", row);
    if (!EVENT_TONES.has(kind)) continue;
    marks.push({
      x: place(steps[row] ?? 0, times[row] ?? 0),
      label: formatName(kind),
      color: EVENT_TONES.get(kind) ?? "--ink-3",
    });
  }
  return marks.slice(-12);
}

const EVENT_TONES = new Map([
  ["resumed", "--ink-3"],
  ["early_stopping", "--ink-3"],
  ["best", "--good"],
  ["error", "--bad"],
  ["nonfinite", "--bad"],
  ["not_finite", "--bad"],
]);

/** A loss falls by much; only one that blew up for a few steps is so many times the rest. */
const BLOWN_UP = 50;

type Place = (step: number, time: number) => number;

/** Where a step stands on the axis. Epochs are counted as completed ones, with fractions in between. */
export function placer(steps: Frame, axis: Axis): Place {
  if (axis === "step") return (step) => step;
  if (axis === "time") return (_, time) => time;
  const starts = epochStarts(steps);
  if (starts.length === 0) return (step) => step;
  return (step) => {
    let index = starts.length - 1;
    while (index > 0 && (starts[index]?.step ?? 0) > step) index--;
    const here = starts[index];
    const next = starts[index + 1] ?? { step: (here?.step ?? 0) + lastLength(starts), epoch: 0 };
    if (!here) return step;
    return index + Math.min(1, (step - here.step + 1) / Math.max(1, next.step - here.step));
  };
}

interface EpochStart {
  readonly epoch: number;
  readonly step: number;
}

function epochStarts(steps: Frame): EpochStart[] {
  const epoch = numbers(steps, "epoch");
  const step = numbers(steps, "step");
  const starts: EpochStart[] = [];
  for (let row = 0; row < steps.rows; row++) {
    if (row === 0 || epoch[row] !== epoch[row - 1]) starts.push({ epoch: epoch[row] ?? 0, step: step[row] ?? 0 });
  }
  return starts;
}

function lastLength(starts: readonly EpochStart[]): number {
  const [before, last] = starts.slice(-2);
  return before && last ? last.step - before.step : 1;
}

function lossChart({ steps, metrics }: CurveSource, place: Place, smoothing: number): CurveChart {
  const step = numbers(steps, "step");
  const time = numbers(steps, "time_s");
  const x = Array.from({ length: steps.rows }, (_, row) => place(step[row] ?? 0, time[row] ?? 0));
  const raw = figures(steps, "loss");
  const lines: Line[] = [];
  const hasLoss = isMeasured(raw);
  if (hasLoss) {
    const smooth = smoothing > 0;
    if (smooth)
      lines.push({
        x,
        y: raw,
        series: { label: "each step", color: splitColor("train"), faint: true, unlisted: true },
      });
    const values = smooth ? smoothCurve(raw, step, smoothing) : raw;
    lines.push({
      x,
      y: values,
      series: { label: "train", color: splitColor("train"), markGaps: true, derived: smooth },
    });
  }
  const splits = hasLoss ? ["validation", "test"] : ["train", "validation", "test", ""];
  for (const split of splits) {
    const line = metricLine(metrics, "loss", split, place);
    if (line) lines.push(line);
  }
  return { ...assemble("loss", "Loss", lines, (value) => formatNumber(value, 4), false), outliers: BLOWN_UP };
}

function metricChart(metrics: Frame, metric: string, place: Place): CurveChart {
  const lines = ["train", "validation", "test", ""].flatMap((split) => metricLine(metrics, metric, split, place) ?? []);
  const chart = assemble(metric, formatName(metric), lines, (value) => formatMetric(metric, value), false);
  return { ...chart, tick: (value, increment) => formatMetricTick(metric, value, increment) };
}

function stepChart(
  { steps }: CurveSource,
  place: Place,
  column: string,
  title: string,
  format: (value: number) => string,
  prefersLog = false,
): CurveChart {
  const values = figures(steps, column);
  const step = numbers(steps, "step");
  const time = numbers(steps, "time_s");
  const x = Array.from({ length: values.length }, (_, row) => place(step[row] ?? 0, time[row] ?? 0));
  const series = { label: title.toLowerCase(), color: "var(--category-7)", width: 1.25, markGaps: true };
  const lines: Line[] = isMeasured(values) ? [{ x, y: values, series }] : [];
  return assemble(column, title, lines, format, prefersLog);
}

/** One split's values of a metric, or null if it was never measured. */
export function metricLine(metrics: Frame, metric: string, split: string, place: Place): Line | null {
  const x: number[] = [];
  const y: (number | null)[] = [];
  const [step, time, value] = [numbers(metrics, "step"), numbers(metrics, "time_s"), figures(metrics, "value")];
  for (let row = 0; row < metrics.rows; row++) {
    if (label(metrics, "metric", row) !== metric || label(metrics, "split", row) !== split) continue;
    x.push(place(step[row] ?? 0, time[row] ?? 0));
    y.push(value[row] ?? null);
  }
  if (x.length === 0) return null;
  const dots = x.length <= 40;
  return { x, y, series: { label: split || metric, color: splitColor(split), markGaps: true, points: dots } };
}

/** Lay lines of different x on one ascending x; where a line has no value there it is `undefined`, which is no gap. */
export function assemble(
  key: string,
  title: string,
  lines: readonly Line[],
  format: (value: number) => string,
  prefersLog: boolean,
): CurveChart {
  const x = [...new Set(lines.flatMap((line) => Array.from(line.x)))].sort((a, b) => a - b);
  const places = new Map(x.map((value, index) => [value, index]));
  let least = Infinity;
  const series = lines.map((line) => {
    const values: (number | null | undefined)[] = new Array<undefined>(x.length).fill(undefined);
    for (let index = 0; index < line.x.length; index++) {
      const value = line.y[index] ?? null;
      values[places.get(line.x[index] ?? NaN) ?? -1] = value;
      if (value !== null && value < least) least = value;
    }
    return { ...line.series, values };
  });
  return { key, title, x, series, format, canLog: least > 0 && Number.isFinite(least), prefersLog };
}

/**
 * Exponential moving average, bias-corrected, with `weight` per step; steps that were left out count by their number.
 * NaN, infinities and what is missing stand as they are and are otherwise passed over.
 */
export function smoothCurve(
  values: ArrayLike<number | null>,
  steps: ArrayLike<number>,
  weight: number,
): (number | null)[] {
  const out = new Array<number | null>(values.length);
  let sum = 0;
  let total = 0;
  let last = (steps[0] ?? 0) - 1;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? null;
    if (value === null || !Number.isFinite(value)) {
      out[index] = value;
      continue;
    }
    const step = steps[index] ?? last + 1;
    const keep = weight ** Math.max(1, step - last);
    last = step;
    sum = keep * sum + (1 - keep) * value;
    total = keep * total + (1 - keep);
    out[index] = sum / total;
  }
  return out;
}
