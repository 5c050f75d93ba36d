/** What the cells' colours say. */

import { classRgb, mix, parseColor } from "../../parts/class_color";
import { fromLch, rampColor, type Ramp, type Rgb } from "../../parts/color";
import { resolveColor } from "../../parts/theme.svelte";
import type { LinearRegions } from "../../api/types";
import { outputsOf } from "./affine";

export type Coloring = "class" | "output" | "pattern" | "unit" | "active" | "slope";

export const COLORINGS: readonly { readonly value: Coloring; readonly label: string; readonly says: string }[] = [
  { value: "class", label: "Class", says: "the class that wins; the stronger, the more surely" },
  { value: "output", label: "Prediction", says: "an output of the network, as it rises and falls within each cell" },
  { value: "slope", label: "Slope", says: "how steeply the prediction changes in each cell" },
  { value: "pattern", label: "Pattern", says: "which units are active; patterns that differ little look alike" },
  { value: "active", label: "Active units", says: "how many units are above their threshold" },
  { value: "unit", label: "One unit", says: "where one unit is above its threshold" },
];

/** One colour for each of some things, as RGBA bytes. */
export type Palette = Uint8Array<ArrayBuffer>;

export interface Scale {
  readonly ramp: Ramp;
  readonly low: number;
  readonly high: number;
}

export function paint(count: number, color: (index: number) => Rgb): Palette {
  const found = new Uint8Array(count * 4);
  for (let index = 0; index < count; index++) {
    const [red, green, blue] = color(index);
    found[4 * index] = red;
    found[4 * index + 1] = green;
    found[4 * index + 2] = blue;
    found[4 * index + 3] = 255;
  }
  return found;
}

/** By the winner, on the surface's colour: surer classes stand out more. */
export function byClass(
  winners: (index: number) => number,
  sure: (index: number) => number,
  count: number,
  classes: number,
): Palette {
  const surface = parseColor(resolveColor("--surface"));
  const tones = Array.from({ length: Math.max(1, classes) }, (_, one) => classRgb(one));
  return paint(count, (index) => {
    const winner = winners(index);
    if (winner < 0) return surface;
    return mix(surface, tones[winner % tones.length] as Rgb, 0.18 + 0.6 * sure(index));
  });
}

/** How sure the network is at the middle of each cell: softmax's lead over an even guess, 0–1. */
export function sureness(result: LinearRegions): Float32Array {
  const outputs = outputsOf(result);
  const start = result.cell_start.data;
  const ring = result.cell_vertex.data;
  const values = result.outputs.data;
  const cells = Math.max(0, start.length - 1);
  const found = new Float32Array(cells);
  const middle = new Float64Array(outputs);
  for (let cell = 0; cell < cells; cell++) {
    const from = start[cell] as number;
    const to = start[cell + 1] as number;
    middle.fill(0);
    for (let place = from; place < to; place++) {
      const at = (ring[place] as number) * outputs;
      for (let output = 0; output < outputs; output++)
        middle[output] = (middle[output] as number) + (values[at + output] as number) / (to - from);
    }
    found[cell] = lead(middle);
  }
  return found;
}

/** Of one output: the logistic function's lead over a half. */
export function lead(values: ArrayLike<number>): number {
  if (values.length === 1) return Math.abs(2 / (1 + Math.exp(-(values[0] as number))) - 1);
  let most = -Infinity;
  for (let one = 0; one < values.length; one++) most = Math.max(most, values[one] as number);
  let total = 0;
  for (let one = 0; one < values.length; one++) total += Math.exp((values[one] as number) - most);
  const even = 1 / values.length;
  return (1 / total - even) / (1 - even);
}

/** By 4 · hue + strength. */
export function byPattern(codes: ArrayLike<number>, dark: boolean): Palette {
  const tones = Array.from({ length: 360 * 4 }, (_, place) => {
    const strength = (place % 4) / 3;
    return fromLch(
      dark ? 0.36 + 0.2 * strength : 0.9 - 0.16 * strength,
      0.05 + 0.075 * strength,
      Math.floor(place / 4),
    );
  });
  return paint(codes.length, (cell) => tones[codes[cell] as number] as Rgb);
}

/** Off is the sunken surface, on the accent; of a maximum, each winner has a colour. */
export function byState(states: ArrayLike<number>, winners: boolean): Palette {
  const off = parseColor(resolveColor("--surface-sunken"));
  const on = mix(off, parseColor(resolveColor("--accent")), 0.6);
  return paint(states.length, (cell) => {
    const state = states[cell] as number;
    if (winners) return mix(off, classRgb(state), 0.6);
    return state ? on : off;
  });
}

export function byValue(values: ArrayLike<number>, scale: Scale, dark: boolean): Palette {
  const { ramp, low, high } = scale;
  return paint(values.length, (index) => rampColor(ramp, ((values[index] as number) - low) / (high - low || 1), dark));
}

/** The range that most of some values lie in: a few extremes do not take the colours from the rest. */
export function robustRange(values: ArrayLike<number>, share = 0.01): [number, number] {
  const stride = Math.max(1, Math.floor(values.length / 20_000));
  const sample: number[] = [];
  for (let index = 0; index < values.length; index += stride)
    if (Number.isFinite(values[index] as number)) sample.push(values[index] as number);
  sample.sort((a, b) => a - b);
  if (!sample.length) return [0, 1];
  const at = (part: number) => sample[Math.min(sample.length - 1, Math.floor(part * sample.length))] as number;
  const [low, high] = [at(share), at(1 - share)];
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

/** Diverging about zero if both signs occur, else from the lowest to the highest. */
export function scaleFor(values: ArrayLike<number>, before: Scale | null = null): Scale {
  let [low, high] = robustRange(values);
  if (before) [low, high] = [Math.min(low, before.low), Math.max(high, before.high)];
  if (low < 0 && high > 0) {
    const size = Math.max(-low, high);
    return { ramp: "diverging", low: -size, high: size };
  }
  return { ramp: "sequential", low: Math.min(low, 0 < low && low < 0.3 * high ? 0 : low), high };
}
