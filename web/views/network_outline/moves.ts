/** Where an arrow key leads from a box of the network diagram. Boxes are indices; the input is not among them. */

import type { Layout } from "./layout";

export type Move = "forward" | "back" | "beside-before" | "beside-after" | "first" | "last";

const KEYS: Record<string, { across: Move; down: Move }> = {
  ArrowRight: { across: "forward", down: "beside-after" },
  ArrowLeft: { across: "back", down: "beside-before" },
  ArrowDown: { across: "beside-after", down: "forward" },
  ArrowUp: { across: "beside-before", down: "back" },
  Home: { across: "first", down: "first" },
  End: { across: "last", down: "last" },
};

/** The move a key asks for in a diagram that runs across or down; null for any other key. */
export function moveOf(key: string, across: boolean): Move | null {
  return KEYS[key]?.[across ? "across" : "down"] ?? null;
}

/** The box that a move leads to: along an edge, preferably in the same lane, or to a neighbour in the same rank. */
export function follow(layout: Layout, from: number, move: Move): number {
  const count = layout.rank.length - 1;
  if (move === "first") return 0;
  if (move === "last") return count - 1;
  if (move === "forward") return ahead(layout, from, 1) ?? Math.min(count - 1, from + 1);
  if (move === "back") return ahead(layout, from, -1) ?? Math.max(0, from - 1);
  return beside(layout, from, move === "beside-after" ? 1 : -1) ?? from;
}

function ahead(layout: Layout, from: number, direction: 1 | -1): number | null {
  const ends = layout.edges
    .filter((edge) => edge.route !== "return" && (direction === 1 ? edge.from : edge.to) === from)
    .map((edge) => (direction === 1 ? edge.to : edge.from))
    .filter((box) => box >= 0);
  const distance = (box: number): number =>
    Math.abs(layout.rank[box + 1]! - layout.rank[from + 1]!) * 100 +
    Math.abs(layout.lane[box + 1]! - layout.lane[from + 1]!);
  return ends.length ? ends.reduce((best, box) => (distance(box) < distance(best) ? box : best)) : null;
}

function beside(layout: Layout, from: number, direction: 1 | -1): number | null {
  const [rank, lane] = [layout.rank[from + 1]!, layout.lane[from + 1]!];
  let best: number | null = null;
  for (let box = 0; box < layout.rank.length - 1; box += 1) {
    const apart = (layout.lane[box + 1]! - lane) * direction;
    if (layout.rank[box + 1] !== rank || apart <= 0) continue;
    if (best === null || apart < (layout.lane[best + 1]! - lane) * direction) best = box;
  }
  return best;
}
