/** Where grid lines and examples are on the way from one layer to the next, in a box from −1 to 1. */

import type { InputFolding } from "../../api/types";

export type FoldingStage = InputFolding["stages"][number];

/** The middle of a stage's picture, and half its larger side. */
export interface Extent {
  readonly x: number;
  readonly y: number;
  readonly half: number;
}

export function extentOf(stage: FoldingStage): Extent {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const values of [stage.lines.data, stage.points.data]) {
    for (let at = 0; at + 1 < values.length; at += 2) {
      const [x, y] = [values[at] as number, values[at + 1] as number];
      if (!Number.isFinite(x + y)) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < low) low = y;
      if (y > high) high = y;
    }
  }
  if (!(left <= right)) return { x: 0, y: 0, half: 1 };
  return { x: (left + right) / 2, y: (low + high) / 2, half: Math.max(right - left, high - low, 1e-12) / 2 };
}

/** The extent that holds both, so that a picture does not jump while training goes on. */
export function joined(a: Extent, b: Extent): Extent {
  const [left, right] = [Math.min(a.x - a.half, b.x - b.half), Math.max(a.x + a.half, b.x + b.half)];
  const [low, high] = [Math.min(a.y - a.half, b.y - b.half), Math.max(a.y + a.half, b.y + b.half)];
  return { x: (left + right) / 2, y: (low + high) / 2, half: Math.max(right - left, high - low) / 2 };
}

/** A stage's lines and then its points as x, y, in the box. */
export function inBox(stage: FoldingStage, { x, y, half }: Extent): Float32Array<ArrayBuffer> {
  const lines = stage.lines.data;
  const points = stage.points.data;
  const found = new Float32Array(lines.length + points.length);
  for (let at = 0; at < found.length; at++) {
    const value = (at < lines.length ? lines[at] : points[at - lines.length]) as number;
    found[at] = (value - (at % 2 ? y : x)) / half; // both lengths are even
  }
  return found;
}

/** Between two pictures of the same size; `target` is overwritten. */
export function mixInto(target: Float32Array, from: Float32Array, to: Float32Array, share: number): void {
  for (let at = 0; at < target.length; at++) {
    const start = from[at] as number;
    target[at] = start + ((to[at] as number) - start) * share;
  }
}

/** Slow at both ends. */
export function ease(share: number): number {
  const held = Math.min(1, Math.max(0, share));
  return held * held * (3 - 2 * held);
}

/** The stage to the left of a position, and how far on to the next, eased. */
export function partOf(position: number, stages: number): readonly [stage: number, share: number] {
  const held = Math.min(stages - 1, Math.max(0, position));
  const stage = Math.min(Math.max(0, stages - 2), Math.floor(held));
  return [stage, ease(held - stage)];
}
