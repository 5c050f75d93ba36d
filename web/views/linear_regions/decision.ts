/**
 * Where which class wins. Outputs are linear within a cell, so a cell whose corners agree belongs to one class whole;
 * the others are clipped into one convex piece for each class, and the decision boundary lies between these.
 */

import type { LinearRegions } from "../../api/types";
import { outputsOf } from "./affine";
import type { Unit } from "./mesh";

/** A network of one output parts two classes at a level. */
export function classesOf(result: LinearRegions): number {
  const outputs = outputsOf(result);
  return outputs === 1 ? 2 : outputs;
}

export interface Decision {
  /** The class of each cell; −1 where it holds several. */
  readonly winner: Int16Array<ArrayBuffer>;
  /** The pieces of cells that hold several: corners × (x, y) in the unit square, triangles of them, and their classes. */
  readonly places: Float32Array<ArrayBuffer>;
  readonly triangles: Uint32Array<ArrayBuffer>;
  readonly pieceOf: Uint32Array<ArrayBuffer>;
  readonly pieceClass: readonly number[];
  readonly pieceCell: readonly number[];
  /** The boundary as x0, y0, x1, y1, and which two classes tie. */
  readonly boundary: readonly number[];
  readonly pairs: readonly (readonly [number, number])[];
}

type Corner = { x: number; y: number; values: number[] };

export function decide(result: LinearRegions, unit: Unit, level = 0): Decision {
  const start = result.cell_start.data;
  const ring = result.cell_vertex.data;
  const cells = Math.max(0, start.length - 1);
  const best = vertexWinners(result, level);
  const winner = new Int16Array(cells);
  const made: Piece[] = [];
  const boundary: number[] = [];
  const pairs: [number, number][] = [];
  for (let cell = 0; cell < cells; cell++) {
    const from = start[cell] as number;
    const to = start[cell + 1] as number;
    const first = best[ring[from] as number] as number;
    let agree = true;
    for (let place = from + 1; place < to && agree; place++) agree = best[ring[place] as number] === first;
    winner[cell] = agree ? first : -1;
    if (!agree) divide(cell, cornersWith(result, unit, from, to, level), made, boundary, pairs);
  }
  return { winner, ...flatten(made), boundary, pairs };
}

interface Piece {
  readonly cell: number;
  readonly owner: number;
  readonly corners: readonly Corner[];
}

/** The class that wins at each vertex. */
function vertexWinners(result: LinearRegions, level: number): Int16Array {
  const outputs = outputsOf(result);
  const values = result.outputs.data;
  const found = new Int16Array(outputs ? values.length / outputs : 0);
  for (let vertex = 0; vertex < found.length; vertex++) {
    if (outputs === 1) {
      found[vertex] = (values[vertex] as number) > level ? 1 : 0;
      continue;
    }
    let [top, most] = [0, values[vertex * outputs] as number];
    for (let output = 1; output < outputs; output++) {
      const value = values[vertex * outputs + output] as number;
      if (value > most) [top, most] = [output, value];
    }
    found[vertex] = top;
  }
  return found;
}

function cornersWith(result: LinearRegions, unit: Unit, from: number, to: number, level: number): Corner[] {
  const outputs = outputsOf(result);
  return Array.from(result.cell_vertex.data.subarray(from, to), (vertex) => {
    const given = Array.from(result.outputs.data.subarray(vertex * outputs, (vertex + 1) * outputs));
    return {
      x: unit[2 * vertex] as number,
      y: unit[2 * vertex + 1] as number,
      values: outputs === 1 ? [level, given[0] ?? 0] : given,
    };
  });
}

/** Clip a cell by each class that may win somewhere in it. */
function divide(cell: number, corners: Corner[], made: Piece[], boundary: number[], pairs: [number, number][]): void {
  const able = contenders(corners);
  for (const owner of able) {
    let piece = corners;
    for (const rival of able) if (rival !== owner) piece = clip(piece, owner, rival);
    if (piece.length < 3) continue;
    made.push({ cell, owner, corners: piece });
    piece.forEach((corner, place) => {
      const next = piece[(place + 1) % piece.length] as Corner;
      const rival = able.find((one) => one > owner && ties(corner, owner, one) && ties(next, owner, one));
      if (rival === undefined || Math.hypot(next.x - corner.x, next.y - corner.y) < 1e-14) return;
      boundary.push(corner.x, corner.y, next.x, next.y);
      pairs.push([owner, rival]);
    });
  }
}

/** Classes that exceed, at some corner, the best lowest value that any class has over the cell. */
function contenders(corners: readonly Corner[]): number[] {
  const count = corners[0]?.values.length ?? 0;
  const along = Array.from({ length: count }, (_, one) => corners.map(({ values }) => values[one] as number));
  const bar = Math.max(...along.map((values) => Math.min(...values)));
  return along.flatMap((values, one) => (Math.max(...values) >= bar ? [one] : []));
}

function ties({ values }: Corner, a: number, b: number): boolean {
  const [one, other] = [values[a] as number, values[b] as number];
  return Math.abs(one - other) <= 1e-9 * (Math.abs(one) + Math.abs(other) + 1e-300);
}

/** The part of a convex piece in which `owner` is at least `rival`. */
function clip(piece: readonly Corner[], owner: number, rival: number): Corner[] {
  const found: Corner[] = [];
  piece.forEach((corner, place) => {
    const next = piece[(place + 1) % piece.length] as Corner;
    const here = (corner.values[owner] as number) - (corner.values[rival] as number);
    const there = (next.values[owner] as number) - (next.values[rival] as number);
    if (here >= 0) found.push(corner);
    if (here >= 0 !== there >= 0) found.push(between(corner, next, here / (here - there), owner, rival));
  });
  return found;
}

function between(a: Corner, b: Corner, share: number, owner: number, rival: number): Corner {
  const mix = (from: number, to: number) => from + share * (to - from);
  const values = a.values.map((value, place) => mix(value, b.values[place] as number));
  values[rival] = values[owner] as number; // they tie here, whatever rounding says
  return { x: mix(a.x, b.x), y: mix(a.y, b.y), values };
}

function flatten(made: readonly Piece[]): Omit<Decision, "winner" | "boundary" | "pairs"> {
  const places: number[] = [];
  const triangles: number[] = [];
  const pieceOf: number[] = [];
  made.forEach(({ corners }, piece) => {
    const first = pieceOf.length;
    for (const { x, y } of corners) {
      places.push(x, y);
      pieceOf.push(piece);
    }
    for (let side = 2; side < corners.length; side++) triangles.push(first, first + side - 1, first + side);
  });
  return {
    places: Float32Array.from(places),
    triangles: Uint32Array.from(triangles),
    pieceOf: Uint32Array.from(pieceOf),
    pieceClass: made.map(({ owner }) => owner),
    pieceCell: made.map(({ cell }) => cell),
  };
}
