/** The arithmetic of neurons' surfaces: one neuron's values, its line, and the stages that it comes about by. */

import type { NeuronSurface } from "../../api/types";
import { formatNumber } from "../../parts/format";
import type { Domain } from "../../parts/heat_map";
import type { Grid } from "../../parts/surface/grid";

export type SurfaceLayer = NeuronSurface["layers"][number];

export interface Stage {
  readonly name: string;
  readonly formula: string;
  readonly values: ArrayLike<number>;
  /** Whose zero line is the stage's, where that is another's. */
  readonly bend?: ArrayLike<number>;
}

export function layerNamed(result: NeuronSurface, name: string): SurfaceLayer | undefined {
  return result.layers.find((layer) => layer.name === name);
}

/** A neuron's values, rows × columns, without a copy. */
export function valuesOf(layer: SurfaceLayer, place: number): ArrayLike<number> {
  const size = (layer.values.shape[1] ?? 0) * (layer.values.shape[2] ?? 0);
  return layer.values.data.subarray(place * size, (place + 1) * size);
}

export function gridOf(result: NeuronSurface, values: ArrayLike<number>): Grid {
  return { x: result.s.data, y: result.t.data, values };
}

/** A neuron that gives one value everywhere in the slice. */
export function isFlat(layer: SurfaceLayer, place: number): boolean {
  return !((layer.high.data[place] as number) > (layer.low.data[place] as number));
}

/** The smallest and the largest value of each neuron of a layer. */
export interface Span {
  readonly low: ArrayLike<number>;
  readonly high: ArrayLike<number>;
}

/** Over all moments at which the layer has the same neurons, so that colours keep their meaning as training goes by. */
export function spanOf(layer: SurfaceLayer, moments: readonly NeuronSurface[]): Span {
  const units = Array.from(layer.units.data, Number);
  const alike = moments
    .map((moment) => layerNamed(moment, layer.name))
    .filter((one) => one !== undefined && one.units.data.length === units.length)
    .filter((one) => units.every((unit, place) => one?.units.data[place] === unit)) as SurfaceLayer[];
  const all = [layer, ...alike];
  const most = (pick: (one: SurfaceLayer) => ArrayLike<number>, best: (...values: number[]) => number) =>
    Float64Array.from(units, (_, place) => {
      const finite = all.map((one) => pick(one)[place] as number).filter(Number.isFinite);
      return finite.length ? best(...finite) : NaN;
    });
  return { low: most((one) => one.low.data, Math.min), high: most((one) => one.high.data, Math.max) };
}

/** Whether a layer's neurons can be negative, so that its colours need two sides. */
export function twoSided({ low }: Span): boolean {
  return Array.prototype.some.call(low, (one: number) => one < 0);
}

/** The values at the colours' ends: symmetric about zero if there are both signs. */
export function domainOf(low: number, high: number, both: boolean): Domain {
  if (both) {
    const size = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return [-size, size];
  }
  const from = Math.min(0, low);
  return high > from ? [from, high] : [from, from + 1];
}

/** The same for all neurons of a layer. */
export function layerDomain(span: Span): Domain {
  let [low, high] = [0, 0];
  for (let place = 0; place < span.low.length; place++) {
    low = Math.min(low, (span.low[place] as number) || 0);
    high = Math.max(high, (span.high[place] as number) || 0);
  }
  return domainOf(low, high, twoSided(span));
}

/**
 * The two ends of the line on which a neuron that reads the input is zero before its non-linearity; null where there is
 * no such line in the slice.
 */
export function hyperplane(result: NeuronSurface, layer: SurfaceLayer, place: number): [number, number][] | null {
  if (layer.source !== "input" || !layer.weight.data.length) return null;
  const [across, up] = [layer.weight.data[2 * place] as number, layer.weight.data[2 * place + 1] as number];
  const shift = layer.bias.data[place] as number;
  const size = across * across + up * up;
  if (!Number.isFinite(size) || size === 0) return null;
  const foot = [(-shift * across) / size, (-shift * up) / size] as const;
  const along = [-up / Math.sqrt(size), across / Math.sqrt(size)] as const;
  let [low, high] = [-Infinity, Infinity];
  for (const axis of [0, 1] as const) {
    const [first = 0, last = 1] = axis ? result.plane.v_range : result.plane.u_range;
    if (along[axis] === 0) {
      if (foot[axis] < first || foot[axis] > last) return null;
      continue;
    }
    const ends = [(first - foot[axis]) / along[axis], (last - foot[axis]) / along[axis]];
    low = Math.max(low, Math.min(...ends));
    high = Math.min(high, Math.max(...ends));
  }
  if (!(low < high)) return null;
  return [low, high].map((far) => [foot[0] + far * along[0], foot[1] + far * along[1]]);
}

/** The layer that reads a layer's neurons as they are. */
export function onwardOf(result: NeuronSurface, layer: SurfaceLayer): SurfaceLayer | undefined {
  return result.layers.find(
    (one) => one.source === layer.name && one.weight.data.length > 0 && one.weight.shape[1] === layer.units.data.length,
  );
}

/** A linear neuron before its non-linearity, from what it reads; null where that was not measured. */
export function beforeOf(result: NeuronSurface, layer: SurfaceLayer, place: number): ArrayLike<number> | null {
  const size = result.s.data.length * result.t.data.length;
  if (layer.before.data.length) return layer.before.data.subarray(place * size, (place + 1) * size);
  const inputs = layer.weight.shape[1] ?? 0;
  if (!layer.weight.data.length || !inputs) return null;
  const weight = layer.weight.data.subarray(place * inputs, (place + 1) * inputs);
  const found = new Float64Array(size).fill(layer.bias.data[place] as number);
  if (layer.source === "input") {
    const columns = result.s.data.length;
    for (let at = 0; at < size; at++) {
      const [s, t] = [result.s.data[at % columns] as number, result.t.data[Math.floor(at / columns)] as number];
      found[at] = (found[at] as number) + (weight[0] as number) * s + (weight[1] as number) * t;
    }
    return found;
  }
  const source = layerNamed(result, layer.source);
  if (source?.units.data.length !== inputs) return null;
  for (let one = 0; one < inputs; one++) {
    const factor = weight[one] as number;
    const values = valuesOf(source, one);
    for (let at = 0; at < size; at++) found[at] = (found[at] as number) + factor * (values[at] as number);
  }
  return found;
}

/** Slope, shifted, clipped; with a neuron of the next layer also weighed and summed. Empty for a layer without them. */
export function stagesOf(result: NeuronSurface, layer: SurfaceLayer, place: number, into: number): Stage[] {
  const shifted = beforeOf(result, layer, place);
  if (!shifted) return [];
  const own = layer.own_bias.data[place] as number;
  const values = valuesOf(layer, place);
  const clip = `${layer.normalised ? "normalised, then " : ""}${layer.activation || "nothing after it"}`;
  const stages: Stage[] = [
    { name: "Slope", formula: "w · x", values: Float64Array.from(shifted, (value) => value - own) },
    { name: "Shifted", formula: `+ b, b = ${formatNumber(own, 3)}`, values: shifted },
    { name: layer.activation ? "Clipped" : "Given", formula: clip, values, bend: shifted },
  ];
  const onward = onwardOf(result, layer);
  const target = onward ? onward.units.data.findIndex((unit) => unit === into) : -1;
  if (!onward || target < 0) return stages;
  const weight = onward.weight.data[target * (onward.weight.shape[1] ?? 0) + place] as number;
  const summed = beforeOf(result, onward, target);
  stages.push({
    name: "Weighed",
    formula: `× ${formatNumber(weight, 3)}`,
    values: Float64Array.from(values, (value) => value * weight),
    bend: shifted,
  });
  if (summed) stages.push({ name: "Summed", formula: `with all others, in ${onward.name} #${into}`, values: summed });
  return stages;
}

/** The range of several fields together, symmetric about zero. */
export function commonDomain(stages: readonly Stage[]): Domain {
  let most = 0;
  for (const { values } of stages) {
    for (let at = 0; at < values.length; at++) {
      const size = Math.abs(values[at] as number);
      if (size > most && Number.isFinite(size)) most = size;
    }
  }
  return [-(most || 1), most || 1];
}
