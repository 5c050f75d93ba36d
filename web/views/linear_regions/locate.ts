/** Which cell lies under a place: a grid of lists of cells, then each one's sides. */

import { boxesOf, type Unit } from "./mesh";

export class CellFinder {
  readonly #across: number;
  readonly #bounds: Uint32Array;
  readonly #cells: Uint32Array;
  readonly #start: ArrayLike<number>;
  readonly #ring: ArrayLike<number>;
  readonly #unit: Unit;
  /** What rounding may do to a side. */
  readonly #slack: number;

  constructor(start: ArrayLike<number>, ring: ArrayLike<number>, unit: Unit) {
    [this.#start, this.#ring, this.#unit] = [start, ring, unit];
    this.#slack = unit instanceof Float32Array ? 1e-6 : 1e-9;
    const cells = Math.max(0, start.length - 1);
    const boxes = boxesOf(start, ring, unit);
    const across = Math.min(512, Math.max(1, Math.round(Math.sqrt(cells))));
    this.#across = across;
    const bounds = new Uint32Array(across * across + 1);
    const visit = (cell: number, then: (tile: number) => void) => {
      const [left, right] = [this.#line(boxes[4 * cell] as number), this.#line(boxes[4 * cell + 1] as number)];
      const [low, high] = [this.#line(boxes[4 * cell + 2] as number), this.#line(boxes[4 * cell + 3] as number)];
      for (let row = low; row <= high; row++)
        for (let column = left; column <= right; column++) then(row * across + column);
    };
    const count = (tile: number) => (bounds[tile + 1] = (bounds[tile + 1] as number) + 1);
    for (let cell = 0; cell < cells; cell++) visit(cell, count);
    for (let tile = 0; tile < across * across; tile++)
      bounds[tile + 1] = (bounds[tile + 1] as number) + (bounds[tile] as number);
    const next = bounds.slice();
    this.#cells = new Uint32Array(bounds[across * across] as number);
    for (let cell = 0; cell < cells; cell++) {
      visit(cell, (tile) => {
        this.#cells[next[tile] as number] = cell;
        next[tile] = (next[tile] as number) + 1;
      });
    }
    this.#bounds = bounds;
  }

  /** The cell at a place of the unit square, −1 outside. On an edge, one of its two. */
  at(x: number, y: number): number {
    if (!(x >= 0 && x <= 1 && y >= 0 && y <= 1)) return -1;
    const tile = this.#line(y) * this.#across + this.#line(x);
    let best = -1;
    let least = -Infinity;
    for (let place = this.#bounds[tile] as number; place < (this.#bounds[tile + 1] as number); place++) {
      const cell = this.#cells[place] as number;
      const inside = this.#depth(cell, x, y);
      if (inside >= 0) return cell;
      if (inside > least) [best, least] = [cell, inside];
    }
    return least > -this.#slack ? best : -1;
  }

  #line(value: number): number {
    return Math.min(this.#across - 1, Math.max(0, Math.floor(value * this.#across)));
  }

  /** How far inside the nearest side, negative outside. */
  #depth(cell: number, x: number, y: number): number {
    const from = this.#start[cell] as number;
    const to = this.#start[cell + 1] as number;
    let least = Infinity;
    let before = 2 * (this.#ring[to - 1] as number);
    for (let place = from; place < to; place++) {
      const here = 2 * (this.#ring[place] as number);
      const x0 = this.#unit[before] as number;
      const y0 = this.#unit[before + 1] as number;
      const right = (this.#unit[here] as number) - x0;
      const up = (this.#unit[here + 1] as number) - y0;
      const turned = right * (y - y0) - up * (x - x0);
      const far = turned / (Math.hypot(right, up) || 1);
      if (far < least) least = far;
      if (least < -this.#slack) return least;
      before = here;
    }
    return least;
  }
}
