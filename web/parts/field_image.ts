/** Vectors that are pictures: from numbers to pixels. */

import { rampTable } from "./color";

export interface PictureShape {
  readonly channels: number;
  readonly rows: number;
  readonly columns: number;
}

/** How a vector of some shape is a picture, or null: (rows, columns) or (channels, rows, columns), leading 1s aside. */
export function pictureShape(shape: readonly number[]): PictureShape | null {
  const bare = shape.slice(shape.findIndex((size, index) => size !== 1 || index >= shape.length - 2));
  const [channels, rows, columns] = bare.length === 2 ? [1, ...bare] : bare;
  if (bare.length < 2 || bare.length > 3 || !channels || !rows || !columns) return null;
  return (channels === 1 || channels === 3) && rows > 1 && columns > 1 ? { channels, rows, columns } : null;
}

/** The largest absolute value, or 1 if there is none. */
export function sizeOf(values: ArrayLike<number>): number {
  let most = 0;
  for (let index = 0; index < values.length; index++) {
    const size = Math.abs(values[index] ?? 0);
    if (Number.isFinite(size)) most = Math.max(most, size);
  }
  return most || 1;
}

/**
 * RGBA of signed numbers, 0 in the middle of the ramp; of three channels, as colours about a mid grey. With `plain`, of
 * numbers from the least (black) to the largest (white), as a picture is seen.
 */
export function paintPicture(
  values: ArrayLike<number>,
  { channels, rows, columns }: PictureShape,
  look: { readonly dark: boolean; readonly plain: boolean; readonly size: number },
): Uint8ClampedArray<ArrayBuffer> {
  const count = rows * columns;
  const out = new Uint8ClampedArray(count * 4);
  const table = rampTable("diverging", look.dark);
  const [low, high] = look.plain ? extent(values) : [-look.size, look.size];
  const share = (index: number): number => ((values[index] ?? NaN) - low) / (high - low || 1);
  for (let pixel = 0; pixel < count; pixel++) {
    if (channels === 1 && !look.plain) {
      const entry = Math.round(Math.min(1, Math.max(0, share(pixel))) * 255) * 4;
      out.set(table.subarray(entry, entry + 4), pixel * 4);
      continue;
    }
    for (let channel = 0; channel < 3; channel++) {
      out[pixel * 4 + channel] = 255 * share(channels === 1 ? pixel : channel * count + pixel);
    }
    out[pixel * 4 + 3] = 255;
  }
  return out;
}

function extent(values: ArrayLike<number>): readonly [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let index = 0; index < values.length; index++) {
    low = Math.min(low, values[index] ?? NaN);
    high = Math.max(high, values[index] ?? NaN);
  }
  return low < high ? [low, high] : [low - 1, low + 1];
}
