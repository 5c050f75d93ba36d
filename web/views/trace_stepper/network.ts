/** The network neuron by neuron: where each stands, what is known of it at a moment, what lies under the pointer. */

import type { StepperLayer, TraceStepper } from "../../api/types";
import type { Selection } from "./entries";
import type { Moment } from "./clock";
import type { Phase } from "./walk";

export interface Neuron {
  readonly column: number;
  readonly row: number;
  /** Its number in its layer; those that are not strong enough are not drawn. */
  readonly unit: number;
  readonly x: number;
  readonly y: number;
}

export interface Column {
  readonly x: number;
  readonly radius: number;
  readonly neurons: readonly Neuron[];
  /** How many units the layer really has. */
  readonly units: number;
  readonly name: string;
}

export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly columns: readonly Column[];
  /** Where the loss stands; null without one. */
  readonly loss: { readonly x: number; readonly y: number; readonly radius: number } | null;
}

const TOP = 26;
const BOTTOM = 42;

/** Column 0 is what the first layer reads, column n what the n-th layer makes. */
export function layOut(result: TraceStepper, width: number, height: number): Drawing {
  const layers = result.network;
  const first = layers[0];
  if (!first) return { width, height, columns: [], loss: null };
  const hasLoss = !Number.isNaN(result.loss);
  const places = layers.length + 1 + (hasLoss ? 1 : 0);
  const margin = Math.max(26, Math.min(64, width * 0.07));
  const stride = (width - 2 * margin) / Math.max(1, places - 1);
  const middle = TOP + (height - TOP - BOTTOM) / 2;
  const column = (place: number, shown: readonly number[], units: number, name: string): Column => {
    const gap = Math.min(52, (height - TOP - BOTTOM) / Math.max(1, shown.length));
    const x = margin + place * stride;
    const neurons = shown.map((unit, row) => ({
      column: place,
      row,
      unit,
      x,
      y: middle + (row - (shown.length - 1) / 2) * gap,
    }));
    return { x, radius: Math.max(2.5, Math.min(20, gap * 0.41, stride * 0.2)), neurons, units, name };
  };
  const columns = [column(0, first.shown_inputs, first.inputs, "input")];
  layers.forEach((layer, place) =>
    columns.push(column(place + 1, layer.shown_units, layer.units, layer.module || `step ${layer.step}`)),
  );
  const loss = hasLoss ? { x: margin + (places - 1) * stride, y: middle, radius: Math.min(22, margin * 0.62) } : null;
  return { width, height, columns, loss };
}

/** How far each part of a layer has come, 0 to 1. */
export interface LayerState {
  /** The weighted sum is formed along the edges. */
  readonly sums: number;
  /** The activation has been applied. */
  readonly outputs: number;
  /** The gradient stands at the output, at the sum, and has flowed back along the edges. */
  readonly outputGradient: number;
  readonly sumGradient: number;
  readonly edgeGradient: number;
  readonly weightUpdate: number;
  readonly biasUpdate: number;
}

export interface NetworkState {
  readonly phase: Phase;
  readonly layers: readonly LayerState[];
  readonly loss: number;
}

/** Where the stops of one layer stand in the walk; computed once a trace. */
interface LayerStops {
  readonly sums: number;
  readonly outputs: number;
  readonly outputGradient: number;
  readonly edgeGradient: number;
  readonly weightUpdate: number;
  readonly biasUpdate: number;
}

export interface NetworkStops {
  readonly layers: readonly LayerStops[];
  readonly loss: number;
}

export function findStops(result: TraceStepper): NetworkStops {
  const { walk, values } = result;
  const never = walk.length + 1;
  const find = (match: (phase: Phase, step: number, value: number) => boolean): number => {
    const place = walk.findIndex((stop) => match(stop.phase, stop.step, stop.value));
    return place < 0 ? never : place;
  };
  const layers = result.network.map((layer): LayerStops => {
    const activation = values[layer.after]?.producer ?? layer.step;
    const forward = (step: number) => find((phase, at) => phase === "forward" && at === step);
    const backward = (step: number) => find((phase, at) => phase === "backward" && at === step);
    return {
      sums: forward(layer.step),
      outputs: forward(activation),
      outputGradient: backward(activation),
      edgeGradient: backward(layer.step),
      weightUpdate: find((phase, _, value) => phase === "update" && value === layer.weight),
      biasUpdate: find((phase, _, value) => phase === "update" && value === layer.bias && value >= 0),
    };
  });
  const losses = walk.map((stop, place) => (stop.phase === "loss" ? place : -1));
  const loss = Math.max(...losses, -1);
  return { layers, loss: loss < 0 ? never : loss };
}

export function stateAt(stops: NetworkStops, phase: Phase, { position, share }: Moment): NetworkState {
  const come = (stop: number): number => (position > stop ? 1 : position === stop ? share : 0);
  return {
    phase,
    loss: come(stops.loss),
    layers: stops.layers.map((layer) => ({
      sums: come(layer.sums),
      outputs: come(layer.outputs),
      outputGradient: come(layer.outputGradient),
      sumGradient: come(layer.edgeGradient),
      edgeGradient: come(layer.edgeGradient),
      weightUpdate: come(layer.weightUpdate),
      biasUpdate: come(layer.biasUpdate),
    })),
  };
}

/** The largest finite size, 1 where there is none: what full colour and full width stand for. */
export function largest(values: ArrayLike<number>): number {
  let best = 0;
  for (let place = 0; place < values.length; place++) {
    const size = Math.abs(values[place] ?? 0);
    if (size > best && Number.isFinite(size)) best = size;
  }
  return best || 1;
}

export interface Edge {
  readonly layer: number;
  /** Rows in the columns left and right of the edge. */
  readonly from: number;
  readonly to: number;
}

export type Hit = { readonly neuron: Neuron } | { readonly edge: Edge } | { readonly loss: true };

/** What a person points at: a neuron before an edge, and of several edges the nearest, the heavier if they cross. */
export function hitTest(drawing: Drawing, layers: readonly StepperLayer[], x: number, y: number): Hit | null {
  const { loss } = drawing;
  if (loss && Math.hypot(x - loss.x, y - loss.y) <= loss.radius + 3) return { loss: true };
  for (const column of drawing.columns) {
    if (Math.abs(x - column.x) > column.radius + 5) continue;
    for (const neuron of column.neurons)
      if (Math.hypot(x - neuron.x, y - neuron.y) <= column.radius + 3) return { neuron };
  }
  const right = drawing.columns.findIndex((column) => column.x > x);
  const left = drawing.columns[right - 1];
  const ends = drawing.columns[right];
  const layer = layers[right - 1];
  if (!left || !ends || !layer) return null;
  const share = (x - left.x) / (ends.x - left.x);
  let best: { score: number; edge: Edge } | null = null;
  const top = largest(layer.weights.data);
  for (const from of left.neurons)
    for (const to of ends.neurons) {
      const distance = Math.abs(from.y + (to.y - from.y) * share - y);
      if (distance > 5) continue;
      const weight = Math.abs(layer.weights.data[to.row * left.neurons.length + from.row] ?? 0) / top;
      const score = distance - 3 * weight;
      if (!best || score < best.score) best = { score, edge: { layer: right - 1, from: from.row, to: to.row } };
    }
  return best && { edge: best.edge };
}

/** The entry behind a hit, of the kind that the phase shows. */
export function selectionOf(result: TraceStepper, phase: Phase, hit: Hit): Selection | null {
  if ("loss" in hit) {
    const id = result.values.find((value) => value.kind === "loss")?.id;
    return id === undefined ? null : { kind: "value", value: id, index: result.values[id]!.shape.map(() => 0) };
  }
  if ("edge" in hit) {
    const layer = result.network[hit.edge.layer];
    const kind = phase === "backward" ? "gradient" : phase === "update" ? "update" : "value";
    const to = layer?.shown_units[hit.edge.to];
    const from = layer?.shown_inputs[hit.edge.from];
    if (!layer || layer.weight < 0 || to === undefined || from === undefined) return null;
    return { kind, value: layer.weight, index: [to, from] };
  }
  const { column, unit } = hit.neuron;
  const id = column === 0 ? result.network[0]?.source : result.network[column - 1]?.after;
  const value = id === undefined ? undefined : result.values[id];
  if (!value) return null;
  const kind = phase === "backward" && value.gradient ? "gradient" : "value";
  return { kind, value: value.id, index: value.shape.map((_, axis) => (axis === value.shape.length - 1 ? unit : 0)) };
}

/** Where a chosen entry stands in the drawing. */
export function placeOf(result: TraceStepper, selection: Selection | null): Hit | null {
  if (!selection) return null;
  const unit = selection.index.at(-1) ?? -1;
  for (const [place, layer] of result.network.entries()) {
    if (selection.value === layer.weight) {
      const to = layer.shown_units.indexOf(selection.index[0] ?? -1);
      const from = layer.shown_inputs.indexOf(unit);
      return to < 0 || from < 0 ? null : { edge: { layer: place, from, to } };
    }
    if (selection.index.slice(0, -1).some((at) => at !== 0)) continue;
    const column =
      [layer.before, layer.after, layer.bias].includes(selection.value) && selection.value >= 0
        ? place + 1
        : selection.value === layer.source
          ? place
          : -1;
    const shown = column === place ? layer.shown_inputs : layer.shown_units;
    const row = column < 0 ? -1 : shown.indexOf(unit);
    if (row >= 0) return { neuron: { column, row, unit, x: 0, y: 0 } };
  }
  return null;
}
