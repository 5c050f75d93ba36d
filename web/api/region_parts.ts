/**
 * Linear regions part by part: what one cell is, a figure of every cell, where an operation bends the network. A report
 * holds all of them; the app asks the server, and shows at first a picture that is a seventh of the whole.
 */

import { decodePayload, type NdArray } from "./payload";
import type { LinearRegions } from "./types";

/** What is there at once, or comes. */
export type Soon<T> = T | Promise<T>;

/** One cell, in double precision. */
export interface CellPart {
  readonly cell: number;
  /** Its corners × (s, t), anticlockwise, and the outputs at each. */
  readonly points: ArrayLike<number>;
  readonly outputs: ArrayLike<number>;
  /** What bends at the side from each corner to the next, as `edge_kink` numbers it. */
  readonly sides: ArrayLike<number>;
  /** For each operation: 1 where a unit is above its threshold, or which member of each group wins. */
  readonly states: readonly ArrayLike<number>[];
}

/** −1 asks for all layers, or all units. */
export interface RegionParts {
  /** How many units of each operation bend the slice. */
  readonly bending: readonly number[];
  cell(cell: number): Soon<CellPart>;
  /** What one unit does in every cell. */
  state(layer: number, unit: number): Soon<ArrayLike<number>>;
  /** How many units are active in every cell. */
  active(layer: number): Soon<ArrayLike<number>>;
  /** 4 · hue + strength of every cell's pattern. */
  pattern(layer: number): Soon<ArrayLike<number>>;
  /** How steep an output is in every cell. */
  slope(output: number): Soon<ArrayLike<number>>;
  /** The two vertices of every edge at which a layer or unit bends the network. */
  bends(layer: number, unit: number): Soon<ArrayLike<number>>;
}

/** What is drawn at first: no edges, no patterns, single precision; the rest comes as parts. */
export interface RegionPicture extends LinearRegions {
  /** Vertices × (x, y), the slice's ranges being 0 to 1. */
  readonly unit: Float32Array<ArrayBuffer>;
  readonly parts: RegionParts;
}

export function isPicture(result: LinearRegions): result is RegionPicture {
  return "parts" in result;
}

interface WirePicture extends LinearRegions {
  readonly corners: NdArray;
  readonly bending: number[];
}

type Query = Readonly<Record<string, string | number>>;

/** Decode `region_picture/1`; `ask` fetches a part (`region_part/1`). */
export function decodePicture(buffer: ArrayBuffer, ask: (query: Query) => Promise<ArrayBuffer>): RegionPicture {
  const { corners, bending, ...wire } = decodePayload<WirePicture>(buffer);
  const start = new Uint32Array(corners.data.length + 1);
  for (let cell = 0; cell < corners.data.length; cell++)
    start[cell + 1] = (start[cell] as number) + (corners.data[cell] as number);
  const unit = wire.vertices.data as Float32Array<ArrayBuffer>;
  const nothing: NdArray = { data: new Float32Array(0), shape: [0, 2], dtype: "F32" };
  return {
    ...wire,
    schema: "linear_regions/1",
    vertices: nothing,
    cell_start: { data: start, shape: [start.length], dtype: "U32" },
    unit,
    parts: askedParts(bending, ask),
  };
}

function askedParts(bending: readonly number[], ask: (query: Query) => Promise<ArrayBuffer>): RegionParts {
  const figures = async (query: Query): Promise<ArrayLike<number>> =>
    decodePayload<{ values: NdArray }>(await ask(query)).values.data;
  return {
    bending,
    async cell(cell) {
      type Wire = { points: NdArray; outputs: NdArray; sides: NdArray; states: NdArray[] };
      const { points, outputs, sides, states } = decodePayload<Wire>(await ask({ what: "cell", cell }));
      return {
        cell,
        points: points.data,
        outputs: outputs.data,
        sides: sides.data,
        states: states.map(({ data }) => data),
      };
    },
    state: (layer, unit) => figures({ what: "state", layer, unit }),
    active: (layer) => figures({ what: "active", layer }),
    pattern: (layer) => figures({ what: "pattern", layer }),
    slope: (output) => figures({ what: "slope", output }),
    bends: (layer, unit) => figures({ what: "bends", layer, unit }),
  };
}
