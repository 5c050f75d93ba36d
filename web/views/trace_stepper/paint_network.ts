/** Draws the network neuron by neuron. Edges are painted once a phase and then revealed, so that a frame is cheap. */

import type { StepperLayer, TraceStepper } from "../../api/types";
import { diverging, inkOn, toCss } from "../../parts/color";
import { formatNumber } from "../../parts/format";
import { ease, type Moment } from "./clock";
import { prepare } from "./bitmaps";
import {
  largest,
  type Column,
  type Drawing,
  type Hit,
  type LayerState,
  type NetworkState,
  type Neuron,
} from "./network";

type EdgeKind = "weights" | "weight_gradients" | "weight_updates";

export interface Inks {
  readonly dark: boolean;
  readonly ink: string;
  readonly faint: string;
  readonly border: string;
  readonly surface: string;
  readonly accent: string;
  readonly font: string;
}

/** The strongest edges of a layer, along which marks run: left row, right row, share of the largest size. */
type Runner = readonly [from: number, to: number, size: number];

const RUNNERS = 28;

export class NetworkPainter {
  #edges = new Map<string, HTMLCanvasElement | null>();
  #runners = new Map<string, readonly Runner[]>();

  constructor(
    private readonly result: TraceStepper,
    private readonly drawing: Drawing,
    private readonly inks: Inks,
  ) {}

  draw(canvas: HTMLCanvasElement, state: NetworkState, moment: Moment, marked: readonly (Hit | null)[]): void {
    const context = prepare(canvas, this.drawing);
    if (!context) return;
    this.result.network.forEach((_, place) => this.#drawEdges(context, place, state));
    if (moment.share < 1) this.#drawRunners(context, state);
    for (const hit of marked) if (hit && "edge" in hit) this.#mark(context, hit);
    this.#drawLoss(context, state);
    for (const column of this.drawing.columns) this.#drawColumn(context, column, state);
    for (const hit of marked) if (hit && !("edge" in hit)) this.#mark(context, hit);
  }

  /** Paint what later phases show, one picture at a time, so that no frame waits for it. Returns whether more is left. */
  warm(): boolean {
    for (const kind of ["weights", "weight_gradients", "weight_updates"] as const)
      for (let place = 0; place < this.result.network.length; place++) {
        const left = this.drawing.columns[place];
        const right = this.drawing.columns[place + 1];
        if (!left || !right || this.#edges.has(`${place}:${kind}`)) continue;
        this.#edgesOf(place, kind, left, right);
        this.#runnersOf(place, kind);
        return true;
      }
    return false;
  }

  #drawEdges(context: CanvasRenderingContext2D, place: number, state: NetworkState): void {
    const come = state.layers[place];
    if (!come) return;
    const { phase } = state;
    const back = phase === "backward" || phase === "update";
    this.#reveal(context, place, "weights", 0, 1, (back ? 0.13 : 0.22) * (this.inks.dark ? 1.9 : 1));
    if (!back) return this.#reveal(context, place, "weights", 0, ease(come.sums), 0.85);
    if (phase === "backward")
      return this.#reveal(context, place, "weight_gradients", 1 - ease(come.edgeGradient), 1, 1);
    this.#reveal(context, place, "weight_gradients", 0, 1, come.weightUpdate ? 0 : 0.25);
    this.#reveal(context, place, "weight_updates", 0, 1, ease(come.weightUpdate));
  }

  /** Show the part of a layer's edges between two shares of the way. */
  #reveal(context: CanvasRenderingContext2D, place: number, kind: EdgeKind, from: number, to: number, alpha: number) {
    const left = this.drawing.columns[place];
    const right = this.drawing.columns[place + 1];
    if (!left || !right || alpha <= 0 || to <= from) return;
    const image = this.#edgesOf(place, kind, left, right);
    if (!image) return;
    const wide = right.x - left.x;
    const high = this.drawing.height;
    const scale = image.width / wide;
    const clipped = Math.max(1, (to - from) * image.width);
    context.globalAlpha = alpha;
    context.drawImage(
      image,
      from * image.width,
      0,
      clipped,
      image.height,
      left.x + from * wide,
      0,
      clipped / scale,
      high,
    );
    context.globalAlpha = 1;
  }

  #edgesOf(place: number, kind: EdgeKind, left: Column, right: Column): HTMLCanvasElement | null {
    const key = `${place}:${kind}`;
    const found = this.#edges.get(key);
    if (found !== undefined) return found;
    const canvas = document.createElement("canvas");
    const context = prepare(canvas, { width: right.x - left.x, height: this.drawing.height });
    const made = context ? canvas : null;
    if (context) this.#paintEdges(context, place, kind, left, right);
    this.#edges.set(key, made);
    return made;
  }

  #paintEdges(context: CanvasRenderingContext2D, place: number, kind: EdgeKind, left: Column, right: Column): void {
    const values = this.result.network[place]?.[kind].data;
    if (!values) return;
    const top = largest(values);
    const wide = right.x - left.x;
    const count = left.neurons.length;
    const order = Array.from({ length: values.length }, (_, at) => at)
      .filter((at) => Number.isFinite(values[at]) && Math.abs(values[at]!) > 0.03 * top)
      .sort((a, b) => Math.abs(values[a]!) - Math.abs(values[b]!));
    const crowd = Math.sqrt(values.length + 1);
    const most = Math.max(0.9, Math.min(5.5, 50 / crowd));
    const strength = Math.min(1, 18 / crowd); // where thousands cross, only the strongest stand out
    for (const at of order) {
      const share = values[at]! / top;
      const from = left.neurons[at % count];
      const to = right.neurons[Math.floor(at / count)];
      if (!from || !to) continue;
      const size = Math.abs(share);
      context.globalAlpha = strength * (strength < 1 ? size ** 3 : 0.12 + 0.88 * size);
      context.lineWidth = 0.5 + most * size;
      context.strokeStyle = toCss(diverging(Math.sign(share) * (0.45 + 0.45 * size), this.inks.dark));
      context.setLineDash(share < 0 ? [5 + 2 * size * most, 3 + size] : []);
      context.beginPath();
      context.moveTo(0, from.y);
      context.bezierCurveTo(wide * 0.35, from.y, wide * 0.65, to.y, wide, to.y);
      context.stroke();
    }
  }

  #drawRunners(context: CanvasRenderingContext2D, state: NetworkState): void {
    state.layers.forEach((come, place) => {
      const forward = state.phase === "forward" && come.sums > 0 && come.sums < 1;
      const backward = state.phase === "backward" && come.edgeGradient > 0 && come.edgeGradient < 1;
      const left = this.drawing.columns[place];
      const right = this.drawing.columns[place + 1];
      if (!left || !right || !(forward || backward)) return;
      const share = forward ? ease(come.sums) : 1 - ease(come.edgeGradient);
      context.fillStyle = this.inks.accent;
      for (const [from, to, size] of this.#runnersOf(place, backward ? "weight_gradients" : "weights")) {
        const a = left.neurons[from]?.y ?? 0;
        const b = right.neurons[to]?.y ?? 0;
        context.beginPath();
        context.arc(left.x + (right.x - left.x) * along(share), a + (b - a) * lift(share), 1.5 + 2.5 * size, 0, 7);
        context.fill();
      }
    });
  }

  #runnersOf(place: number, kind: EdgeKind): readonly Runner[] {
    const key = `${place}:${kind}`;
    const found = this.#runners.get(key);
    if (found) return found;
    const layer = this.result.network[place];
    const values = Array.from(layer?.[kind].data ?? [], Number);
    const count = layer?.shown_inputs.length ?? 1;
    const top = largest(values);
    const made = values
      .map((value, at): Runner => [at % count, Math.floor(at / count), Math.abs(value) / top])
      .filter((runner) => runner[2] > 0)
      .sort((a, b) => b[2] - a[2])
      .slice(0, RUNNERS);
    this.#runners.set(key, made);
    return made;
  }

  #drawColumn(context: CanvasRenderingContext2D, column: Column, state: NetworkState): void {
    const place = column.neurons[0]?.column ?? 0;
    const layer = this.result.network[Math.max(0, place - 1)];
    if (!layer) return;
    const { values, gradient, shown } = shownAt(layer, place, state);
    const top = largest(values);
    for (const neuron of column.neurons) {
      const value = Number(values[neuron.row] ?? NaN);
      this.#drawNeuron(context, neuron, column.radius, value, value / top, shown);
    }
    if (place > 0 && state.phase === "update") this.#drawBiasMoves(context, column, layer, state.layers[place - 1]);
    this.#caption(context, column, gradient);
  }

  #drawNeuron(
    context: CanvasRenderingContext2D,
    { x, y }: Neuron,
    radius: number,
    value: number,
    share: number,
    shown: number,
  ): void {
    const { inks } = this;
    const known = shown > 0 && Number.isFinite(value);
    const color = diverging(known ? share * 0.95 : 0, inks.dark);
    context.beginPath();
    context.arc(x, y, radius * (known ? 0.9 + 0.1 * shown : 0.9), 0, 7);
    context.fillStyle = inks.surface;
    context.fill();
    if (known) {
      context.globalAlpha = shown;
      context.fillStyle = toCss(color);
      context.fill();
      context.globalAlpha = 1;
    }
    context.lineWidth = known && value !== 0 ? 1.4 : 1.2;
    context.strokeStyle = known ? inks.ink : inks.faint;
    context.setLineDash(known && value < 0 ? [3, 2.2] : []);
    context.stroke();
    context.setLineDash([]);
    if (!known || radius < 13) return;
    context.globalAlpha = shown;
    context.fillStyle = inkOn(color);
    context.font = `${Math.min(11, radius * 0.72)}px ${inks.font}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(formatNumber(value, 2), x, y + 0.5, radius * 1.8);
    context.globalAlpha = 1;
  }

  /** How far each bias moves: an arc on the neuron's left, its length the size of the move. */
  #drawBiasMoves(
    context: CanvasRenderingContext2D,
    column: Column,
    layer: StepperLayer,
    come: LayerState | undefined,
  ): void {
    const update = layer.bias < 0 ? null : this.result.values[layer.bias]?.update;
    if (!update || !come?.biasUpdate || column.radius < 4) return;
    const top = largest(update.data);
    for (const neuron of column.neurons) {
      const move = (update.data[neuron.unit] ?? 0) / top;
      context.globalAlpha = ease(come.biasUpdate);
      context.strokeStyle = toCss(diverging(Math.sign(move) * 0.85, this.inks.dark));
      context.lineWidth = 3;
      context.setLineDash(move < 0 ? [3, 2] : []);
      context.beginPath();
      const half = Math.abs(move) * Math.PI * 0.9;
      context.arc(neuron.x, neuron.y, column.radius + 3.5, -Math.PI / 2 - half, -Math.PI / 2 + half);
      context.stroke();
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  #drawLoss(context: CanvasRenderingContext2D, state: NetworkState): void {
    const { loss, columns } = this.drawing;
    const outputs = columns.at(-1);
    if (!loss || !outputs) return;
    const { inks } = this;
    const back = state.phase === "backward" || state.phase === "update";
    context.strokeStyle = state.loss > 0 ? inks.accent : inks.border;
    context.lineWidth = 1;
    context.globalAlpha = back ? 0.8 : 0.25 + 0.55 * state.loss;
    for (const { x, y } of outputs.neurons) {
      context.beginPath();
      context.moveTo(x, y);
      context.bezierCurveTo(x + (loss.x - x) * 0.5, y, x + (loss.x - x) * 0.5, loss.y, loss.x, loss.y);
      context.stroke();
    }
    context.globalAlpha = 1;
    context.beginPath();
    context.roundRect?.(loss.x - loss.radius, loss.y - loss.radius, 2 * loss.radius, 2 * loss.radius, 7);
    context.fillStyle = inks.surface;
    context.fill();
    context.lineWidth = state.loss > 0 ? 2 : 1;
    context.stroke();
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = inks.ink;
    context.font = `600 12px ${inks.font}`;
    if (state.loss > 0) context.fillText(formatNumber(this.result.loss, 3), loss.x, loss.y + 0.5, loss.radius * 1.8);
    context.fillStyle = inks.faint;
    context.font = `11px ${inks.font}`;
    context.fillText("loss", loss.x, this.drawing.height - 24);
  }

  #caption(context: CanvasRenderingContext2D, column: Column, gradient: boolean): void {
    const { inks, drawing } = this;
    const wide = Math.abs((drawing.columns[1]?.x ?? 120) - (drawing.columns[0]?.x ?? 0)) - 8;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = inks.ink;
    context.font = `600 11px ${inks.font}`;
    context.fillText(column.name, column.x, drawing.height - 24, wide);
    context.fillStyle = inks.faint;
    context.font = `11px ${inks.font}`;
    const count = column.neurons.length;
    const units = count < column.units ? `${count} of ${column.units}` : `${count}`;
    context.fillText(units, column.x, drawing.height - 9, wide);
    if (gradient) context.fillText("∂loss", column.x, 10, wide);
  }

  #mark(context: CanvasRenderingContext2D, hit: Hit): void {
    context.strokeStyle = this.inks.accent;
    context.setLineDash([]);
    if ("loss" in hit) {
      const { loss } = this.drawing;
      if (!loss) return;
      const side = 2 * loss.radius + 8;
      context.lineWidth = 2.5;
      context.strokeRect(loss.x - side / 2, loss.y - side / 2, side, side);
    } else if ("neuron" in hit) {
      const column = this.drawing.columns[hit.neuron.column];
      const neuron = column?.neurons[hit.neuron.row];
      if (!column || !neuron) return;
      context.lineWidth = 2.5;
      context.beginPath();
      context.arc(neuron.x, neuron.y, column.radius + 4, 0, 7);
      context.stroke();
    } else this.#markEdge(context, hit.edge.layer, hit.edge.from, hit.edge.to);
  }

  #markEdge(context: CanvasRenderingContext2D, layer: number, fromRow: number, toRow: number): void {
    const from = this.drawing.columns[layer]?.neurons[fromRow];
    const to = this.drawing.columns[layer + 1]?.neurons[toRow];
    if (!from || !to) return;
    const wide = to.x - from.x;
    context.lineWidth = 3;
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.bezierCurveTo(from.x + wide * 0.35, from.y, from.x + wide * 0.65, to.y, to.x, to.y);
    context.stroke();
  }
}

/** Which numbers a column shows, and how far they have come: activations forwards, gradients backwards. */
function shownAt(
  layer: StepperLayer,
  place: number,
  state: NetworkState,
): { values: ArrayLike<number>; gradient: boolean; shown: number } {
  const back = state.phase === "backward";
  const come = state.layers[Math.max(0, place - 1)];
  if (place === 0) {
    const arrived = back ? (state.layers[0]?.edgeGradient ?? 0) : 0;
    const gradient = arrived > 0 && hasNumbers(layer.input_gradients.data);
    return gradient
      ? { values: layer.input_gradients.data, gradient, shown: ease(arrived) }
      : { values: layer.input_values.data, gradient, shown: 1 };
  }
  if (back && come) {
    if (come.sumGradient > 0) return { values: layer.sum_gradients.data, gradient: true, shown: 1 };
    if (come.outputGradient > 0)
      return { values: layer.output_gradients.data, gradient: true, shown: ease(come.outputGradient) };
    return { values: layer.outputs.data, gradient: false, shown: 0.25 };
  }
  if (come && come.outputs > 0 && layer.before !== layer.after)
    return { values: layer.outputs.data, gradient: false, shown: 1 };
  const late = ease(Math.max(0, ((come?.sums ?? 0) - 0.6) / 0.4)); // when the wave arrives
  return { values: layer.sums.data, gradient: false, shown: late };
}

function hasNumbers(values: ArrayLike<number>): boolean {
  return Array.prototype.some.call(values, Number.isFinite);
}

/** The Bézier curve of an edge at a share of its way: along x, and how much of the rise. */
function along(t: number): number {
  return 3 * (1 - t) ** 2 * t * 0.35 + 3 * (1 - t) * t ** 2 * 0.65 + t ** 3;
}

function lift(t: number): number {
  return 3 * (1 - t) * t ** 2 + t ** 3;
}
