/**
 * The cells of a slice as triangles for a graphics card. Every cell is convex, so its ring is a fan. Corners are not
 * shared between cells, so that each carries the number of its cell, by which its colour is looked up; cells are laid
 * out tile by tile, so that what is out of sight is not drawn.
 */

import { isPicture } from "../../api/region_parts";
import type { LinearRegions } from "../../api/types";

/** Vertices × (x, y), the slice's ranges being 0 to 1. */
export type Unit = Float64Array<ArrayBuffer> | Float32Array<ArrayBuffer>;

/** A stretch of indices (or instances) with the rectangle that it may cover, in the unit square. */
export interface Tile {
  readonly first: number;
  readonly count: number;
  readonly left: number;
  readonly right: number;
  readonly bottom: number;
  readonly top: number;
}

export interface CellMesh {
  readonly cells: number;
  /** Corners × (x, y) in the unit square. */
  readonly places: Float32Array<ArrayBuffer>;
  /** The cell and the vertex of each corner. */
  readonly owner: Uint32Array<ArrayBuffer>;
  readonly vertex: Uint32Array<ArrayBuffer>;
  /** Three corners a triangle. */
  readonly triangles: Uint32Array<ArrayBuffer>;
  readonly tiles: readonly Tile[];
}

/** Lines as x0, y0, x1, y1 in the unit square. */
export interface Segments {
  readonly ends: Float32Array<ArrayBuffer>;
  readonly tiles: readonly Tile[];
}

export function unitVertices(result: LinearRegions): Unit {
  if (isPicture(result)) return result.unit;
  const [[left, right], [bottom, top]] = [result.plane.u_range, result.plane.v_range] as [
    [number, number],
    [number, number],
  ];
  const given = result.vertices.data;
  const found = new Float64Array(given.length);
  for (let index = 0; index < given.length; index += 2) {
    found[index] = ((given[index] as number) - left) / (right - left);
    found[index + 1] = ((given[index + 1] as number) - bottom) / (top - bottom);
  }
  return found;
}

export function buildMesh(result: LinearRegions, unit: Unit): CellMesh {
  const start = result.cell_start.data;
  const ring = result.cell_vertex.data;
  const cells = Math.max(0, start.length - 1);
  const boxes = boxesOf(start, ring, unit);
  const { order, bounds } = sortIntoTiles(boxes, cells);
  const corners = ring.length;
  const places = new Float32Array(corners * 2);
  const owner = new Uint32Array(corners);
  const vertex = new Uint32Array(corners);
  const triangles = new Uint32Array(Math.max(0, corners - 2 * cells) * 3);
  const ends = new Uint32Array(cells); // index after each placed cell's triangles
  let corner = 0;
  let index = 0;
  for (let place = 0; place < cells; place++) {
    const cell = order[place] as number;
    const from = start[cell] as number;
    const sides = (start[cell + 1] as number) - from;
    for (let side = 0; side < sides; side++) {
      const at = ring[from + side] as number;
      places[2 * (corner + side)] = unit[2 * at] as number;
      places[2 * (corner + side) + 1] = unit[2 * at + 1] as number;
      owner[corner + side] = cell;
      vertex[corner + side] = at;
    }
    for (let side = 2; side < sides; side++) {
      triangles[index++] = corner;
      triangles[index++] = corner + side - 1;
      triangles[index++] = corner + side;
    }
    corner += sides;
    ends[place] = index;
  }
  return { cells, places, owner, vertex, triangles, tiles: tilesOf(order, bounds, boxes, (place) => ends[place] ?? 0) };
}

/** Every side of every cell once. */
export function allEdges(result: LinearRegions, unit: Unit): Segments {
  const start = result.cell_start.data;
  const ring = result.cell_vertex.data;
  const ends = new Float32Array(ring.length * 4); // each inner side is met twice
  let used = 0;
  for (let cell = 0; cell + 1 < start.length; cell++) {
    let a = ring[(start[cell + 1] as number) - 1] as number;
    for (let place = start[cell] as number; place < (start[cell + 1] as number); place++) {
      const b = ring[place] as number;
      if (a < b || isRim(unit, a, b)) used = putSegment(ends, used, unit, a, b);
      a = b;
    }
  }
  return layOut(ends.subarray(0, used));
}

/** Segments between pairs of vertices. */
export function segmentsBetween(pairs: ArrayLike<number>, unit: Unit): Segments {
  const ends = new Float32Array(pairs.length * 2);
  let used = 0;
  for (let place = 0; place < pairs.length; place += 2)
    used = putSegment(ends, used, unit, pairs[place] as number, pairs[place + 1] as number);
  return layOut(ends);
}

function putSegment(ends: Float32Array, at: number, unit: Unit, a: number, b: number): number {
  ends[at] = unit[2 * a] as number;
  ends[at + 1] = unit[2 * a + 1] as number;
  ends[at + 2] = unit[2 * b] as number;
  ends[at + 3] = unit[2 * b + 1] as number;
  return at + 4;
}

/** Whether a side lies on the slice's rim, where no other cell has it. */
function isRim(unit: Unit, a: number, b: number): boolean {
  for (let axis = 0; axis < 2; axis++) {
    const from = unit[2 * a + axis] as number;
    if ((from === 0 || from === 1) && from === unit[2 * b + axis]) return true;
  }
  return false;
}

/** Segments that are given by their ends, tile by tile. */
export function layOut(flat: ArrayLike<number>): Segments {
  const count = flat.length / 4;
  const boxes = new Float64Array(count * 4);
  for (let place = 0; place < count; place++) {
    const [x0, y0, x1, y1] = [0, 1, 2, 3].map((part) => flat[4 * place + part] as number) as [number, number, number, number]; // prettier-ignore
    boxes[4 * place] = Math.min(x0, x1);
    boxes[4 * place + 1] = Math.max(x0, x1);
    boxes[4 * place + 2] = Math.min(y0, y1);
    boxes[4 * place + 3] = Math.max(y0, y1);
  }
  const { order, bounds } = sortIntoTiles(boxes, count);
  const ends = new Float32Array(count * 4);
  for (let place = 0; place < count; place++) {
    const from = (order[place] as number) * 4;
    for (let part = 0; part < 4; part++) ends[4 * place + part] = flat[from + part] as number;
  }
  return { ends, tiles: tilesOf(order, bounds, boxes, (place) => place + 1) };
}

/** The stretches to draw for what is seen, neighbours joined. */
export function visible(
  tiles: readonly Tile[],
  frame: { left: number; right: number; bottom: number; top: number },
): { first: number; count: number }[] {
  const found: { first: number; count: number }[] = [];
  for (const tile of tiles) {
    if (tile.left > frame.right || tile.right < frame.left || tile.bottom > frame.top || tile.top < frame.bottom)
      continue;
    const before = found[found.length - 1];
    if (before && before.first + before.count === tile.first) before.count += tile.count;
    else found.push({ first: tile.first, count: tile.count });
  }
  return found;
}

/** Left, right, bottom and top of every cell. */
export function boxesOf(start: ArrayLike<number>, ring: ArrayLike<number>, unit: ArrayLike<number>): Float64Array {
  const cells = Math.max(0, start.length - 1);
  const boxes = new Float64Array(cells * 4);
  for (let cell = 0; cell < cells; cell++) {
    let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let place = start[cell] as number; place < (start[cell + 1] as number); place++) {
      const x = unit[2 * (ring[place] as number)] as number;
      const y = unit[2 * (ring[place] as number) + 1] as number;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < bottom) bottom = y;
      if (y > top) top = y;
    }
    boxes[4 * cell] = left;
    boxes[4 * cell + 1] = right;
    boxes[4 * cell + 2] = bottom;
    boxes[4 * cell + 3] = top;
  }
  return boxes;
}

/** By the tile that a thing's middle lies in, row by row: the order, and where each tile begins in it. */
function sortIntoTiles(boxes: Float64Array, count: number): { order: Uint32Array; bounds: Uint32Array } {
  const across = Math.min(32, Math.max(1, Math.round(Math.sqrt(count / 200))));
  const tile = new Uint16Array(count);
  const bounds = new Uint32Array(across * across + 1);
  const inside = (middle: number) => Math.min(across - 1, Math.max(0, Math.floor(middle * across)));
  for (let place = 0; place < count; place++) {
    const x = inside(((boxes[4 * place] as number) + (boxes[4 * place + 1] as number)) / 2);
    const y = inside(((boxes[4 * place + 2] as number) + (boxes[4 * place + 3] as number)) / 2);
    const at = y * across + x;
    tile[place] = at;
    bounds[at + 1] = (bounds[at + 1] as number) + 1;
  }
  for (let at = 0; at < across * across; at++) bounds[at + 1] = (bounds[at + 1] as number) + (bounds[at] as number);
  const next = bounds.slice();
  const order = new Uint32Array(count);
  for (let place = 0; place < count; place++) {
    const at = tile[place] as number;
    order[next[at] as number] = place;
    next[at] = (next[at] as number) + 1;
  }
  return { order, bounds };
}

function tilesOf(order: Uint32Array, bounds: Uint32Array, boxes: Float64Array, end: (place: number) => number): Tile[] {
  const tiles: Tile[] = [];
  for (let at = 0; at + 1 < bounds.length; at++) {
    const from = bounds[at] as number;
    const to = bounds[at + 1] as number;
    if (from === to) continue;
    let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let place = from; place < to; place++) {
      const box = 4 * (order[place] as number);
      left = Math.min(left, boxes[box] as number);
      right = Math.max(right, boxes[box + 1] as number);
      bottom = Math.min(bottom, boxes[box + 2] as number);
      top = Math.max(top, boxes[box + 3] as number);
    }
    const first = from === 0 ? 0 : end(from - 1);
    tiles.push({ first, count: end(to - 1) - first, left, right, bottom, top });
  }
  return tiles;
}
