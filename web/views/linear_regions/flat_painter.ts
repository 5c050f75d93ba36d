/** The same picture without a graphics card: cells are filled one by one on a canvas. */

import { seen, toScreen, type Camera, type Size } from "../../parts/camera";
import { rampTable } from "../../parts/color";
import type { CellMesh, Segments } from "./mesh";
import { visible } from "./mesh";
import type { Layer, Painter, Picture } from "./painter";

interface Mesh {
  readonly places: Float32Array;
  readonly owner: Uint32Array;
  readonly triangles: Uint32Array;
  readonly tiles: CellMesh["tiles"];
  palette: Uint8Array;
}

export class FlatPainter implements Painter {
  readonly canvas = document.createElement("canvas");
  #base: Mesh | null = null;
  #over: Mesh | null = null;
  #values: Float32Array | null = null;
  #ramp: ArrayLike<number> = [];
  readonly #segments = new Map<Layer, Segments>();

  setCells(mesh: CellMesh): void {
    this.#base = { ...mesh, palette: new Uint8Array() };
    this.#values = null;
  }

  setPieces(places: Float32Array, triangles: Uint32Array<ArrayBuffer>, owner: Uint32Array): void {
    const tiles = [{ first: 0, count: triangles.length, left: 0, right: 1, bottom: 0, top: 1 }];
    this.#over = { places, owner, triangles, tiles, palette: new Uint8Array() };
  }

  setValues(values: Float32Array): void {
    this.#values = values;
  }

  setPalette(which: "cells" | "pieces", bytes: Uint8Array): void {
    const mesh = which === "cells" ? this.#base : this.#over;
    if (mesh) mesh.palette = bytes;
  }

  setRamp(ramp: "sequential" | "diverging", dark: boolean): void {
    this.#ramp = rampTable(ramp, dark);
  }

  setLines(which: Layer, segments: Segments | null): void {
    if (segments) this.#segments.set(which, segments);
    else this.#segments.delete(which);
  }

  draw(picture: Picture): void {
    this.canvas.width = picture.width;
    this.canvas.height = picture.height;
    const context = this.canvas.getContext("2d");
    if (!context) return;
    this.#fill(context, this.#base, picture, picture.scale !== null && this.#values !== null);
    if (picture.pieces) this.#fill(context, this.#over, picture, false);
    for (const line of picture.lines) {
      const segments = this.#segments.get(line.layer);
      if (!segments) continue;
      context.beginPath();
      for (const { first, count } of visible(segments.tiles, seen(picture.camera))) {
        for (let place = first; place < first + count; place++) {
          context.moveTo(...corner(picture.camera, picture, segments.ends, 2 * place));
          context.lineTo(...corner(picture.camera, picture, segments.ends, 2 * place + 1));
        }
      }
      context.strokeStyle = `rgb(${line.color.join(" ")} / ${line.opacity})`;
      context.lineWidth = line.width * picture.ratio;
      context.stroke();
    }
  }

  /** Triangles of one cell follow each other, and together are its fan. */
  #fill(context: CanvasRenderingContext2D, mesh: Mesh | null, picture: Picture, valued: boolean): void {
    if (!mesh) return;
    const { triangles, owner, places } = mesh;
    for (const { first, count } of visible(mesh.tiles, seen(picture.camera))) {
      for (let place = first; place < first + count;) {
        const hub = triangles[place] as number;
        context.beginPath();
        context.moveTo(...corner(picture.camera, picture, places, hub));
        context.lineTo(...corner(picture.camera, picture, places, triangles[place + 1] as number));
        let last = hub;
        for (; place < first + count && triangles[place] === hub; place += 3) {
          last = triangles[place + 2] as number;
          context.lineTo(...corner(picture.camera, picture, places, last));
        }
        const color = valued ? this.#height(hub, last, picture) : entry(mesh.palette, owner[hub] as number);
        context.fillStyle = context.strokeStyle = color;
        context.fill();
        context.stroke(); // neighbours would leave hairlines
      }
    }
  }

  #height(from: number, to: number, { scale }: Picture): string {
    let total = 0;
    for (let one = from; one <= to; one++) total += this.#values?.[one] ?? NaN;
    const { low, high } = scale ?? { low: 0, high: 1 };
    const share = (total / (to - from + 1) - low) / (high - low || 1);
    return entry(this.#ramp, Math.round(Math.min(1, Math.max(0, share)) * 255) || 0);
  }

  destroy(): void {
    this.#segments.clear();
    this.#base = this.#over = null;
  }
}

function corner(camera: Camera, size: Size, places: ArrayLike<number>, at: number): [number, number] {
  const [x, y] = toScreen(camera, size, [places[2 * at] as number, places[2 * at + 1] as number]);
  return [x, y];
}

function entry(table: ArrayLike<number>, at: number): string {
  return `rgb(${table[4 * at] ?? 0} ${table[4 * at + 1] ?? 0} ${table[4 * at + 2] ?? 0})`;
}
