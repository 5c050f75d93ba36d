/** Pixels of a distribution over time: one column a pixel of the time axis, drawn from the row nearest in time. */

import { rebin, type Axis, type Histogram } from "./rebin";

/** For each of `width` pixels, the index of the row nearest in time (steps ascend). */
export function rowOfPixel(steps: ArrayLike<number>, width: number): Int32Array {
  const out = new Int32Array(width);
  const first = steps[0] ?? 0;
  const span = (steps[steps.length - 1] ?? 0) - first;
  let row = 0;
  for (let x = 0; x < width; x += 1) {
    const step = first + (span * (x + 0.5)) / width;
    while (row + 1 < steps.length && (steps[row]! + steps[row + 1]!) / 2 <= step) row += 1;
    out[x] = row;
  }
  return out;
}

/** 1 for every histogram whose values were not all finite: it has no edges. */
export function brokenRows(histograms: readonly Histogram[]): Uint8Array {
  return Uint8Array.from(histograms, ({ low, high }) => Number(!Number.isFinite(low) || !Number.isFinite(high)));
}

/** The densities (share of the values in each bin) of every histogram on one axis, row after row. */
export function densities(histograms: readonly Histogram[], axis: Axis): Float32Array {
  const out = new Float32Array(histograms.length * axis.bins);
  histograms.forEach((histogram, row) => {
    const { counts, below, above } = rebin(histogram, axis);
    const total = counts.reduce((a, b) => a + b, 0) + below + above;
    if (total > 0) counts.forEach((count, bin) => (out[row * axis.bins + bin] = count / total));
  });
  return out;
}

/**
 * Write RGBA pixels, time across and value up. The square root keeps thin tails visible beside a tall peak; `palette` holds
 * 256 RGBA colours from none to most. Rows that hold values that are not finite are hatched in the colour of `broken`.
 */
export function paintHeat(
  pixels: Uint8ClampedArray,
  width: number,
  rows: Int32Array,
  density: Float32Array,
  bins: number,
  palette: Uint8ClampedArray,
  broken: { rows: Uint8Array; color: readonly [number, number, number] },
): void {
  let most = 0;
  for (const value of density) if (value > most) most = value;
  const scale = most > 0 ? 255 / Math.sqrt(most) : 0;
  for (let x = 0; x < width; x += 1) {
    const start = rows[x]! * bins;
    for (let bin = 0; bin < bins; bin += 1) {
      if (broken.rows[rows[x]!] && (x + bin) % 8 < 2) {
        pixels.set([...broken.color, 255], 4 * ((bins - 1 - bin) * width + x));
        continue;
      }
      const shade = 4 * Math.round(Math.sqrt(density[start + bin]!) * scale);
      const at = 4 * ((bins - 1 - bin) * width + x);
      pixels[at] = palette[shade]!;
      pixels[at + 1] = palette[shade + 1]!;
      pixels[at + 2] = palette[shade + 2]!;
      pixels[at + 3] = 255;
    }
  }
}
