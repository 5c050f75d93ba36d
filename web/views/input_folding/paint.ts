/** A folded plane on a canvas: its grid lines, its examples. */

import { toCss, type Rgb } from "../../parts/color";

export interface Look {
  /** A colour for each grid line, and for each kind of example. */
  readonly lines: readonly string[];
  readonly stamps: ReadonlyMap<number, HTMLCanvasElement>;
  readonly stampSize: number;
  readonly lineWidth: number;
}

export interface Picture {
  /** Lines × points × (x, y), then the examples' x, y; −1 to 1. */
  readonly places: Float32Array;
  readonly lineCount: number;
  readonly linePoints: number;
  readonly kinds: ArrayLike<number>;
}

/** Draw into a square of `side` CSS pixels. */
export function paintFold(
  context: CanvasRenderingContext2D,
  picture: Picture,
  look: Look,
  side: number,
  shown: { grid: boolean; examples: boolean },
): void {
  const { places, lineCount, linePoints } = picture;
  const scale = side * 0.46;
  const middle = side / 2;
  if (shown.grid) {
    context.lineWidth = look.lineWidth;
    context.lineJoin = "round";
    for (let line = 0; line < lineCount; line++) {
      context.strokeStyle = look.lines[line] ?? "#888";
      context.beginPath();
      const end = (line + 1) * linePoints * 2;
      for (let at = line * linePoints * 2; at < end; at += 2)
        context.lineTo(middle + (places[at] as number) * scale, middle - (places[at + 1] as number) * scale);
      context.stroke();
    }
  }
  if (!shown.examples) return;
  const first = lineCount * linePoints * 2;
  const half = look.stampSize / 2;
  for (let at = first; at < places.length; at += 2) {
    const stamp = look.stamps.get(picture.kinds[(at - first) / 2] ?? -1);
    if (!stamp) continue;
    const x = middle + (places[at] as number) * scale - half;
    const y = middle - (places[at + 1] as number) * scale - half;
    context.drawImage(stamp, x, y, look.stampSize, look.stampSize);
  }
}

/** A dot, with a rim if it is given one, drawn once. */
export function makeStamp(color: Rgb, rim: string, size: number): HTMLCanvasElement {
  const image = document.createElement("canvas");
  const ratio = 2 * (window.devicePixelRatio || 1);
  image.width = image.height = Math.ceil(size * ratio);
  const context = image.getContext("2d");
  if (!context) return image;
  context.scale(ratio, ratio);
  context.arc(size / 2, size / 2, size / 2 - 0.75, 0, 2 * Math.PI);
  context.fillStyle = toCss(color);
  context.fill();
  if (!rim) return image;
  context.strokeStyle = rim;
  context.lineWidth = 0.9;
  context.stroke();
  return image;
}
