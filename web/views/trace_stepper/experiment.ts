/** What was tried with one entry: the loss at each value, the slope's straight line, and the window to draw them in. */

import type { WhatIf } from "../../api/types";
import { unravel } from "./entries";

export interface Trial {
  readonly value: number;
  readonly loss: number;
}

/** How far a slider reaches on either side: enough to matter, whatever the entry's size. */
export function reachOf(before: number, largest: number): number {
  const size = Math.max(Math.abs(before), Math.abs(largest));
  if (!(size > 0) || !Number.isFinite(size)) return 1;
  const wanted = 2 * Math.max(Math.abs(before), size / 2);
  const power = 10 ** Math.floor(Math.log10(wanted));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= wanted) ?? wanted;
}

/** Trials with one more, in order of their values; a value tried again replaces what was. */
export function addTrial(trials: readonly Trial[], { after, loss_after }: WhatIf): Trial[] {
  if (!Number.isFinite(loss_after)) return [...trials];
  return [...trials.filter((trial) => trial.value !== after), { value: after, loss: loss_after }].sort(
    (a, b) => a.value - b.value,
  );
}

export interface Plot {
  readonly x: (value: number) => number;
  readonly y: (loss: number) => number;
  readonly low: number;
  readonly high: number;
}

/** From values and losses to a box of 100 × 100, with room for the slope's line near the starting point. */
export function plotOf(low: number, high: number, trials: readonly Trial[], before: number, slope: number): Plot {
  const losses = trials.map((trial) => trial.loss);
  const start = trials.find((trial) => trial.value === before)?.loss;
  if (start !== undefined && Number.isFinite(slope))
    losses.push(start + (slope * (high - low)) / 8, start - (slope * (high - low)) / 8);
  let bottom = Math.min(...losses);
  let top = Math.max(...losses);
  if (!(top > bottom)) [bottom, top] = [bottom - 0.5, top + 0.5];
  const margin = (top - bottom) * 0.12;
  return {
    x: (value) => ((value - low) / (high - low)) * 100,
    y: (loss) => 100 - ((loss - bottom + margin) / (top - bottom + 2 * margin)) * 100,
    low: bottom,
    high: top,
  };
}

export interface Output {
  readonly place: number;
  readonly was: number;
  readonly now: number;
}

const MOST_OUTPUTS = 12;

/** How the outputs are laid out in rows: the last axis, or all of them where that has one entry. */
function rowLength({ output_shape, output_before }: WhatIf): number {
  const last = output_shape.at(-1) ?? 1;
  return last > 1 ? last : Math.max(1, output_before.data.length);
}

/** The row of outputs that feels the change most; -1 where none does. */
export function rowFelt(answer: WhatIf): number {
  const { output_before: was, output_after: now } = answer;
  let best = -1;
  let most = 0;
  now.data.forEach((after: number, at: number) => {
    const change = Math.abs(after - (was.data[at] ?? NaN));
    if (change > most) [best, most] = [at, change];
  });
  return best < 0 ? -1 : Math.floor(best / rowLength(answer));
}

/** One row's outputs before and after; of a long row those that were largest. */
export function outputsOf(answer: WhatIf, row: number): Output[] {
  const length = rowLength(answer);
  const first = Math.max(0, row) * length;
  const { output_before: was, output_after: now } = answer;
  const outputs = Array.from(was.data.slice(first, first + length), (before, place) => ({
    place,
    was: Number(before),
    now: Number(now.data[first + place] ?? NaN),
  }));
  return outputs
    .sort((a, b) => Math.abs(b.was) - Math.abs(a.was) || a.place - b.place)
    .slice(0, MOST_OUTPUTS)
    .sort((a, b) => a.place - b.place);
}

/** A row of outputs by name: "output[3, …]". */
export function nameRow(answer: WhatIf, row: number): string {
  const leading = answer.output_shape.slice(0, -1);
  if (leading.length === 0 || (answer.output_shape.at(-1) ?? 1) <= 1) return answer.output_name;
  return `${answer.output_name}[${unravel(Math.max(0, row), leading).join(", ")}, …]`;
}
