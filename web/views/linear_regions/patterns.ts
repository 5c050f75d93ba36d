/** What each bending operation does in each cell: cells of the last operation refer to those of the one before. */

import type { LinearRegions } from "../../api/types";

/** For each operation, the part of its own cells that every final cell lies in. */
export class Patterns {
  readonly #result: LinearRegions;
  readonly #ancestors: (ArrayLike<number> | null)[];

  constructor(result: LinearRegions) {
    this.#result = result;
    this.#ancestors = result.patterns.map(() => null);
  }

  get layers(): number {
    return this.#result.patterns.length;
  }

  /** Final cell → cell of the operation. */
  ancestors(layer: number): ArrayLike<number> | null {
    const last = this.layers - 1;
    if (layer >= last) return null; // the same
    const known = this.#ancestors[layer];
    if (known) return known;
    const parent = this.#result.patterns[layer + 1]?.parent.data ?? [];
    const later = this.ancestors(layer + 1);
    const cells = this.#result.cell_start.data.length - 1;
    const found = new Int32Array(cells);
    for (let cell = 0; cell < cells; cell++) found[cell] = parent[later ? (later[cell] as number) : cell] as number;
    this.#ancestors[layer] = found;
    return found;
  }

  ancestor(layer: number, cell: number): number {
    return (this.ancestors(layer)?.[cell] as number | undefined) ?? cell;
  }

  /** Threshold: 1 where a quantity is above it; maximum: which member of each group wins. */
  states(layer: number, cell: number): Uint8Array | Int32Array {
    const kink = this.#result.kinks[layer];
    const bits = this.#result.patterns[layer]?.bits;
    if (!kink || !bits) return new Uint8Array();
    const wide = bits.shape[1] ?? 0;
    const from = this.ancestor(layer, cell) * wide;
    if (kink.kind === "maximum") return Int32Array.from(bits.data.subarray(from, from + wide));
    const found = new Uint8Array(kink.quantities);
    for (let one = 0; one < found.length; one++)
      found[one] = ((bits.data[from + (one >> 3)] as number) >> (one & 7)) & 1;
    return found;
  }

  /** One quantity's state in every final cell. */
  state(layer: number, quantity: number): Uint8Array {
    const kink = this.#result.kinks[layer];
    const bits = this.#result.patterns[layer]?.bits;
    const cells = this.#result.cell_start.data.length - 1;
    const found = new Uint8Array(cells);
    if (!kink || !bits) return found;
    const wide = bits.shape[1] ?? 0;
    const up = this.ancestors(layer);
    for (let cell = 0; cell < cells; cell++) {
      const row = (up ? (up[cell] as number) : cell) * wide;
      found[cell] =
        kink.kind === "maximum"
          ? (bits.data[row + quantity] as number)
          : ((bits.data[row + (quantity >> 3)] as number) >> (quantity & 7)) & 1;
    }
    return found;
  }

  /** How many quantities of an operation are above their threshold in every final cell. */
  active(layer: number): Float32Array {
    const cells = this.#result.cell_start.data.length - 1;
    return this.#spread(layer, cells, (row, bits, wide) => {
      let total = 0;
      for (let place = row * wide; place < (row + 1) * wide; place++) total += ONES[bits[place] as number] as number;
      return total;
    });
  }

  /**
   * A direction for every final cell's pattern, the same for the same pattern in every result: each unit has one of its
   * own, and those of the active ones are added. Patterns that differ little point to about the same side.
   */
  directions(layers: readonly number[]): { x: Float32Array; y: Float32Array } {
    const cells = this.#result.cell_start.data.length - 1;
    const [x, y] = [new Float32Array(cells), new Float32Array(cells)];
    for (const layer of layers) {
      const kink = this.#result.kinks[layer];
      if (!kink) continue;
      const wide = this.#result.patterns[layer]?.bits.shape[1] ?? 0;
      const size = 1 / Math.sqrt(Math.max(1, kink.quantities));
      for (const [target, turn] of [
        [x, Math.cos],
        [y, Math.sin],
      ] as const) {
        const table = weightTable(layer, wide, kink.kind === "threshold" ? kink.quantities : wide * 8, turn);
        const found = this.#spread(layer, cells, (row, bits) => {
          let total = 0;
          for (let byte = 0; byte < wide; byte++)
            total += table[byte * 256 + ((bits[row * wide + byte] as number) & 255)] as number;
          return total * size;
        });
        for (let cell = 0; cell < cells; cell++) target[cell] = (target[cell] as number) + (found[cell] as number);
      }
    }
    return { x, y };
  }

  /** 4 · hue in degrees + strength (0 to 3) of those directions; the server computes the same. */
  codes(layers: readonly number[]): Uint16Array {
    const { x, y } = this.directions(layers);
    return Uint16Array.from(x, (right, cell) => {
      const up = y[cell] as number;
      const hue = (Math.round((Math.atan2(up, right) * 180) / Math.PI) + 360) % 360;
      return 4 * hue + Math.min(3, Math.floor(Math.hypot(right, up) * 1.8));
    });
  }

  /** A value of each of the operation's own cells, handed on to the final cells. */
  #spread(
    layer: number,
    cells: number,
    value: (row: number, bits: ArrayLike<number>, wide: number) => number,
  ): Float32Array {
    const bits = this.#result.patterns[layer]?.bits;
    const found = new Float32Array(cells);
    if (!bits) return found;
    const own = new Float32Array(bits.shape[0] ?? 0);
    for (let row = 0; row < own.length; row++) own[row] = value(row, bits.data, bits.shape[1] ?? 0);
    const up = this.ancestors(layer);
    for (let cell = 0; cell < cells; cell++) found[cell] = own[up ? (up[cell] as number) : cell] as number;
    return found;
  }
}

const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);

/** For each byte of a pattern and each of its 256 values: the sum over its set bits, a clear one counting as negative. */
function weightTable(layer: number, bytes: number, quantities: number, turn: (angle: number) => number): Float32Array {
  const table = new Float32Array(bytes * 256);
  for (let byte = 0; byte < bytes; byte++) {
    const own = Array.from({ length: 8 }, (_, bit) =>
      byte * 8 + bit < quantities ? turn(2 * Math.PI * scatter(layer, byte * 8 + bit)) : 0,
    );
    for (let value = 0; value < 256; value++) {
      let total = 0;
      for (let bit = 0; bit < 8; bit++) total += (own[bit] as number) * ((value >> bit) & 1 ? 1 : -1);
      table[byte * 256 + value] = total;
    }
  }
  return table;
}

/** A number in 0–1 that looks random and is always the same. */
export function scatter(a: number, b: number): number {
  let mixed = (Math.imul(a + 1, 0x9e3779b1) ^ Math.imul(b + 1, 0x85ebca6b)) >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b3c6d) >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 12), 0x297a2d39) >>> 0;
  return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
}
