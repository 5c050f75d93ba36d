/** What both ways of drawing cells can do: on a graphics card, or without one. */

import type { Camera } from "../../parts/camera";
import type { Rgb } from "../../parts/color";
import type { Scale } from "./coloring";
import type { CellMesh, Segments } from "./mesh";

/** Lines that are drawn apart: all edges, those that were asked for, the decision boundary. */
export type Layer = "edges" | "chosen" | "boundary";

export interface LineStyle {
  readonly layer: Layer;
  readonly color: Rgb;
  readonly opacity: number;
  /** CSS pixels. */
  readonly width: number;
}

export interface Picture {
  readonly camera: Camera;
  /** Device pixels. */
  readonly width: number;
  readonly height: number;
  readonly ratio: number;
  /** Colours from the corners' values on a ramp; null: each cell's own colour. */
  readonly scale: Scale | null;
  /** Whether the pieces of divided cells are drawn over these. */
  readonly pieces: boolean;
  readonly lines: readonly LineStyle[];
}

export interface Painter {
  readonly canvas: HTMLCanvasElement;
  setCells(mesh: CellMesh): void;
  setPieces(places: Float32Array, triangles: Uint32Array<ArrayBuffer>, owner: Uint32Array): void;
  /** One value a corner. */
  setValues(values: Float32Array): void;
  setPalette(which: "cells" | "pieces", bytes: Uint8Array): void;
  setRamp(ramp: "sequential" | "diverging", dark: boolean): void;
  setLines(which: Layer, segments: Segments | null): void;
  draw(picture: Picture): void;
  destroy(): void;
}
