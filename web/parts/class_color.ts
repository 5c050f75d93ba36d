/** Colours of classes on canvases: told apart also beyond the eight categories. */

import { categoryColor, toCss, type Rgb } from "./color";
import { resolveColor } from "./theme.svelte";

/** The colour of the n-th class; from the ninth on the categories come again, nearer to the ink. */
export function classRgb(index: number): Rgb {
  const color = parseColor(resolveColor(categoryColor(index)));
  return index < 8 ? color : mix(color, parseColor(resolveColor("--ink")), 0.55);
}

/** The same for markup. */
export function classColor(index: number): string {
  return index < 8 ? categoryColor(index) : `color-mix(in srgb, ${categoryColor(index)} 45%, var(--ink))`;
}

export function mix(from: Rgb, to: Rgb, share: number): Rgb {
  const part = (place: 0 | 1 | 2) => Math.round(from[place] + (to[place] - from[place]) * share);
  return [part(0), part(1), part(2)];
}

/** `#rrggbb` or `#rgb` as bytes; anything else is grey. */
export function parseColor(text: string): Rgb {
  const digits = text.trim().replace(/^#(.)(.)(.)$/, "#$1$1$2$2$3$3");
  const [, red, green, blue] = /^#([\da-f]{2})([\da-f]{2})([\da-f]{2})$/i.exec(digits) ?? [];
  if (!red || !green || !blue) return [136, 136, 136];
  return [parseInt(red, 16), parseInt(green, 16), parseInt(blue, 16)];
}

/** A colour that is given as CSS and may be of the theme, as a canvas needs it. */
export function canvasColor(color: string): string {
  const mixed = /^color-mix\(in srgb, (var\([^)]*\)) (\d+)%, (var\([^)]*\))\)$/.exec(color);
  if (!mixed?.[1] || !mixed[3]) return resolveColor(color);
  return toCss(mix(parseColor(resolveColor(mixed[3])), parseColor(resolveColor(mixed[1])), Number(mixed[2]) / 100));
}
