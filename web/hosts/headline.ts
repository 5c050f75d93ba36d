/** The few figures of a run that are said first, and how far it has come. */

import { distinct, label, numbers, type Frame } from "../api/frames";
import type { RunSummary } from "../api/types";
import { formatCount, formatMetric, formatName, formatSentence } from "../parts/format";
import { isHeadline, orderMetrics } from "../views/metric_order";

export interface Headline {
  readonly name: string;
  readonly label: string;
  readonly value: string;
}

/** All figures in reading order; where some are known to us, only those. */
export function headlines(metrics: RunSummary["metrics"]): Headline[] {
  const names = orderMetrics(Object.keys(metrics));
  const known = names.filter(isHeadline);
  return (known.length ? known : names).map((name) => ({
    name,
    label: formatName(name),
    value: formatMetric(name, metrics[name]),
  }));
}

export interface Progress {
  /** 0–1, null where the number of epochs is not known beforehand. */
  readonly fraction: number | null;
  readonly elapsedS: number;
  /** Seconds to go at the pace so far; null if unknown. */
  readonly remainingS: number | null;
}

/** How far a run has come, from its steps: whole epochs, and the part of the present one judged by the first one's length. */
export function progressOf(run: Pick<RunSummary, "epoch" | "epochs_planned" | "status">, steps: Frame): Progress {
  const times = numbers(steps, "time_s");
  const elapsedS = times[times.length - 1] ?? 0;
  const planned = run.epochs_planned ?? 0;
  if (planned <= 0) return { fraction: null, elapsedS, remainingS: null };
  if (run.status === "finished") return { fraction: 1, elapsedS, remainingS: 0 };
  const done = Math.max((run.epoch ?? 0) / planned, stepFraction(steps, planned));
  const fraction = Math.min(1, done);
  const remainingS = fraction > 0 && elapsedS > 0 ? (elapsedS / fraction) * (1 - fraction) : null;
  return { fraction, elapsedS, remainingS };
}

function stepFraction(steps: Frame, planned: number): number {
  const epoch = numbers(steps, "epoch");
  const step = numbers(steps, "step");
  const first = epoch[0];
  const begin = Array.prototype.findIndex.call(epoch, (value: number) => value !== first);
  if (begin < 0) return 0; // the first epoch is not over: its length is unknown
  const length = (step[begin] ?? 0) - (step[0] ?? 0);
  return length > 0 ? ((step[step.length - 1] ?? 0) + 1) / (length * planned) : 0;
}

/** How many steps were made: what the run says of itself, or the rows it left if it came to no end. */
export function stepsDone(run: Pick<RunSummary, "step">, steps: Frame): number {
  const step = numbers(steps, "step");
  const recorded = step.length ? (step[step.length - 1] ?? -1) + 1 : 0;
  return Math.max(run.step ?? 0, recorded);
}

/** What watching cost, as told at the end, and how much it saw, in one line; the event itself tells more. */
export function watchLine(steps: Frame, layers: Frame, events: Frame, running: boolean): string {
  const seen = sampledLine(steps, layers, running);
  for (let row = events.rows - 1; row >= 0; row--) {
    if (label(events, "kind", row) !== "watch_cost") continue;
    const cost = /^(?:\([^)]*\)|[^;(])*/.exec(label(events, "message", row))?.[0] ?? "";
    return formatSentence([cost, seen].filter(Boolean).join("; "));
  }
  return formatSentence(seen);
}

/** Nothing where the table of layers is thinned, so that looks cannot be counted. */
function sampledLine(steps: Frame, layers: Frame, running: boolean): string {
  const all = stepsDone({ step: null }, steps);
  if (layers.rows === 0 || layers.sampled || all === 0) return "";
  const looks = Math.round(layers.rows / Math.max(1, distinct(layers, "layer").length));
  return `layers sampled at ${formatCount(looks)} of ${formatCount(all)} steps${running ? " so far" : ""}`;
}
