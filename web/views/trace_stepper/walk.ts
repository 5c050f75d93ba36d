/** The walk through a trace: its phases, what is said at each stop, and where to jump. */

import type { StepOutline, StepperStop, StepperValue, TraceStepper } from "../../api/types";
import { formatNumber } from "../../parts/format";

export type Phase = StepperStop["phase"];

export const PHASE_NAMES: Readonly<Record<Phase, string>> = {
  forward: "Forward",
  loss: "Loss",
  backward: "Backward",
  update: "Update",
};

/** Stops of one phase, one after another. */
export interface PhaseSpan {
  readonly phase: Phase;
  readonly first: number;
  readonly count: number;
}

export function phaseSpans(walk: readonly StepperStop[]): PhaseSpan[] {
  const spans: { phase: Phase; first: number; count: number }[] = [];
  walk.forEach((stop, place) => {
    const last = spans.at(-1);
    if (last?.phase === stop.phase) last.count++;
    else spans.push({ phase: stop.phase, first: place, count: 1 });
  });
  return spans;
}

/** A position that exists: whole, from 0 to the last stop. */
export function clampPosition(position: number, stops: number): number {
  return Number.isFinite(position) ? Math.max(0, Math.min(stops - 1, Math.round(position))) : 0;
}

export function stopAt(result: TraceStepper, position: number): StepperStop | undefined {
  return result.walk[clampPosition(position, result.walk.length)];
}

export function stepOf(result: TraceStepper, stop: StepperStop | undefined): StepOutline | undefined {
  return stop && stop.step >= 0 ? result.steps[stop.step] : undefined;
}

export function valueOf(result: TraceStepper, id: number): StepperValue | undefined {
  return id >= 0 ? result.values[id] : undefined;
}

export function moduleOf(result: TraceStepper, stop: StepperStop): string {
  return stepOf(result, stop)?.module ?? valueOf(result, stop.value)?.module ?? "";
}

export function shapeText(shape: readonly number[]): string {
  return shape.length ? shape.join(" × ") : "one number";
}

export function rangeText(low: number, high: number): string {
  if (Number.isNaN(low) || Number.isNaN(high)) return "";
  return low === high ? formatNumber(low, 3) : `${formatNumber(low, 3)} … ${formatNumber(high, 3)}`;
}

/** The stop in a few words: "relu in encoder.act", "fc1.weight". */
export function titleOf(result: TraceStepper, stop: StepperStop): string {
  const step = stepOf(result, stop);
  if (!step) return valueOf(result, stop.value)?.name ?? "the parameters";
  const where = step.module ? ` in ${step.module}${step.call ? `, call ${step.call + 1}` : ""}` : "";
  return `${step.op}${where}`;
}

/** What happens at a stop, in a sentence or two for a newcomer. */
export function sayStop(result: TraceStepper, stop: StepperStop): string {
  const value = valueOf(result, stop.value);
  const step = stepOf(result, stop);
  if (stop.phase === "update") return sayUpdate(result, value);
  const made = value ? shapeText(value.shape) : "";
  const range = value ? rangeText(value.minimum, value.maximum) : "";
  if (stop.phase === "backward") {
    const size = value && !Number.isNaN(value.gradient_norm) ? value.gradient_norm : null;
    if (size === null) return `No gradient reaches ${step?.op ?? "this step"}: the loss does not depend on it.`;
    return (
      `The loss's gradient by this output (${made}, length ${formatNumber(size, 3)}) is handed back to what the step ` +
      "read, each entry times its local slope."
    );
  }
  if (value?.kind === "loss") return `The model's answer is judged: the loss is ${formatNumber(result.loss, 5)}.`;
  const reads = step?.inputs.length ? `Reads ${step.inputs.join(", ")}. ` : "";
  return `${reads}Makes ${made}${range ? `, values ${range}` : ""}.${step?.opaque ? " No rule explains this operation." : ""}`;
}

function sayUpdate(result: TraceStepper, value: StepperValue | undefined): string {
  if (!value) return "Nothing moves here.";
  const by = result.optimizer || "The optimiser";
  if (!value.update) return `${by} leaves ${value.name} where it is.`;
  return `${by} moves ${value.name} (${shapeText(value.shape)}) by a step of length ${formatNumber(value.update_norm, 3)}, against its gradient of length ${formatNumber(value.gradient_norm, 3)}.`;
}

/** What a screen reader hears on arriving at a stop. */
export function announceStop(result: TraceStepper, position: number): string {
  const stop = result.walk[position];
  if (!stop) return "";
  return `${PHASE_NAMES[stop.phase]}, stop ${position + 1} of ${result.walk.length}: ${titleOf(result, stop)}. ${sayStop(result, stop)}`;
}

/** The modules of the walk in the order in which they ran. */
export function modulesOf(result: TraceStepper): string[] {
  return [...new Set(result.steps.map((step) => step.module))];
}

/** Where to jump for a module: in the phase that is shown if it has a stop there, else where it first runs. */
export function stopOfModule(result: TraceStepper, module: string, phase: Phase): number {
  const places = result.walk.map((stop, place) => ({ stop, place }));
  const own = places.filter(({ stop }) => moduleOf(result, stop) === module);
  return (own.find(({ stop }) => stop.phase === phase) ?? own[0])?.place ?? -1;
}

/** Where the walk first looks at a value, in this phase if it can be. */
export function stopOfValue(result: TraceStepper, id: number, phase: Phase): number {
  const own = result.walk.map((stop, place) => ({ stop, place })).filter(({ stop }) => stop.value === id);
  return (own.find(({ stop }) => stop.phase === phase) ?? own[0])?.place ?? -1;
}

export interface SourceView {
  readonly file: string;
  readonly line: number;
  readonly lines: readonly { readonly number: number; readonly text: string }[];
}

/** The lines around a step's own line, always `around` before and after so that the box keeps its height. */
export function sourceOf(result: TraceStepper, step: StepOutline | undefined, around = 3): SourceView | null {
  if (!step?.source_file) return null;
  const excerpt = result.sources.find(
    ({ file, first_line, lines }) =>
      file === step.source_file && step.source_line >= first_line && step.source_line < first_line + lines.length,
  );
  if (!excerpt && !step.source_text) return null;
  const lines = Array.from({ length: 2 * around + 1 }, (_, place) => {
    const number = step.source_line - around + place;
    const own = number === step.source_line ? step.source_text : "";
    return { number, text: excerpt?.lines[number - excerpt.first_line] ?? own };
  });
  return { file: step.source_file, line: step.source_line, lines };
}
