/** Tensors as small canvases, one pixel a cell, painted once and then only stretched. */

import { findDomain, paintCells } from "../../parts/heat_map";
import type { Picture } from "./entries";

type Bitmap = HTMLCanvasElement | null;

const kept = { light: new WeakMap<object, Bitmap>(), dark: new WeakMap<object, Bitmap>() };

/** The picture in the diverging ramp, zero in the surface's colour; null where there is no canvas or nothing to see. */
export function bitmapOf(picture: Picture, dark: boolean): Bitmap {
  const store = dark ? kept.dark : kept.light;
  const found = store.get(picture.data);
  if (found !== undefined) return found;
  const bitmap = paint(picture, dark);
  store.set(picture.data, bitmap);
  return bitmap;
}

function paint({ data, rows, columns }: Picture, dark: boolean): Bitmap {
  if (rows * columns === 0) return null;
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  if (!context) return null;
  const look = { ramp: "diverging", domain: findDomain(data, "diverging"), dark, upward: false } as const;
  context.putImageData(new ImageData(paintCells(data, rows, columns, look), columns, rows), 0, 0);
  return canvas;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The size at which a picture fills its room: cells as square as they can be, none larger than `most` pixels. */
export function fit(picture: { rows: number; columns: number }, room: Size, most = 30): Size {
  const { rows, columns } = picture;
  if (!rows || !columns || room.width <= 0) return { width: 0, height: 0 };
  const wide = Math.min(most, room.width / columns);
  const high = Math.min(most, room.height / rows);
  const side = Math.min(wide, high);
  // A long, flat tensor is stretched across its thin side, where it would else be a hair.
  const width = columns * Math.min(wide, Math.max(side, 10));
  const height = rows * Math.min(high, Math.max(side, 10));
  return { width, height };
}

/** Set a canvas's pixels to its size on screen; its context, scaled to CSS pixels and empty. */
export function prepare(canvas: HTMLCanvasElement, { width, height }: Size): CanvasRenderingContext2D | null {
  const ratio = window.devicePixelRatio || 1;
  const wide = Math.max(1, Math.round(width * ratio));
  const high = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = canvas.getContext("2d");
  context?.setTransform(ratio, 0, 0, ratio, 0, 0);
  context?.clearRect(0, 0, width, height);
  return context;
}
