/**
 * Where the boxes of a network diagram stand and how its edges run.
 *
 * Boxes are put in ranks by their longest path from the input (so edges go forward) and, within a rank, in lanes. An
 * edge to a later rank runs along free lanes where it can and otherwise as an arc in the gutter, on a track of its own.
 */

/** An edge between boxes; -1 stands for the input. */
export type Edge = readonly [from: number, to: number];

/** How an edge is drawn: beside no box, along one end's lane, as an arc in the gutter, or back to an earlier box. */
export type Route = "straight" | "source-lane" | "target-lane" | "arc" | "return";

export interface RoutedEdge {
  from: number;
  to: number;
  route: Route;
  /** Of arcs and returns: 0 lies nearest to the boxes. */
  track: number;
}

/** Ranks and lanes; index 0 is the input, index i + 1 is box i. */
export interface Layout {
  rank: Int32Array;
  lane: Int32Array;
  edges: RoutedEdge[];
  ranks: number;
  lanes: number;
  tracks: number;
}

/** More arcs than this side by side share a track. */
export const MAX_TRACKS = 12;

/** Edges between boxes from edges between layers: owners merged, doubles and inner edges dropped. */
export function liftEdges(edges: readonly Edge[], owner: Int32Array): Edge[] {
  const seen = new Set<string>();
  const out: Edge[] = [];
  for (const [from, to] of edges) {
    const a = from < 0 ? -1 : owner[from]!;
    const b = owner[to]!;
    const key = `${a},${b}`;
    if (a === b || seen.has(key)) continue;
    seen.add(key);
    out.push([a, b]);
  }
  return out;
}

/** Lay out `count` boxes, numbered in order of execution. An edge to an earlier box is kept as a `return`. */
export function layOut(count: number, edges: readonly Edge[]): Layout {
  const sources: number[][] = Array.from({ length: count + 1 }, () => []);
  for (const [from, to] of edges) if (from < to) sources[to + 1]!.push(from + 1);
  const rank = new Int32Array(count + 1);
  for (let box = 1; box <= count; box += 1) {
    // A box that nothing is known to feed follows the one that ran before it.
    const from = sources[box]!.length ? sources[box]! : [box - 1];
    rank[box] = 1 + Math.max(...from.map((source) => rank[source]!));
  }
  const cells = new Cells();
  const lane = placeInLanes(rank, sources, cells);
  const routed = routeEdges(edges, rank, lane, cells);
  return {
    rank,
    lane,
    edges: routed,
    ranks: 1 + maximum(rank),
    lanes: 1 + maximum(lane),
    tracks: routed.reduce(
      (most, edge) => (edge.route === "arc" || edge.route === "return" ? Math.max(most, edge.track + 1) : most),
      0,
    ),
  };
}

function maximum(values: Int32Array): number {
  let most = 0;
  for (const value of values) if (value > most) most = value;
  return most;
}

/** Which cells of the grid of ranks and lanes are taken. */
class Cells {
  private readonly taken = new Set<string>();

  take(rank: number, lane: number): void {
    this.taken.add(`${rank},${lane}`);
  }

  isFree(rank: number, lane: number): boolean {
    return !this.taken.has(`${rank},${lane}`);
  }

  /** Whether all cells strictly between two ranks are free in a lane. */
  isClear(after: number, before: number, lane: number): boolean {
    for (let rank = after + 1; rank < before; rank += 1) if (!this.isFree(rank, lane)) return false;
    return true;
  }

  takeBetween(after: number, before: number, lane: number): void {
    for (let rank = after + 1; rank < before; rank += 1) this.take(rank, lane);
  }
}

/** Each box goes on in the lane of the source that stands nearest before it, or in the next free lane. */
function placeInLanes(rank: Int32Array, sources: number[][], cells: Cells): Int32Array {
  const lane = new Int32Array(rank.length);
  cells.take(0, 0);
  for (let box = 1; box < rank.length; box += 1) {
    const near = sources[box]!.filter((source) => rank[source] === rank[box]! - 1);
    let wanted = Math.min(
      ...(near.length ? near : sources[box]!.length ? sources[box]! : [box - 1]).map((source) => lane[source]!),
    );
    while (!cells.isFree(rank[box]!, wanted)) wanted += 1;
    lane[box] = wanted;
    cells.take(rank[box]!, wanted);
  }
  return lane;
}

function routeEdges(edges: readonly Edge[], rank: Int32Array, lane: Int32Array, cells: Cells): RoutedEdge[] {
  const routed = edges.map(([from, to]): RoutedEdge => {
    const [a, b] = [from + 1, to + 1];
    const route = from >= to ? "return" : chooseRoute(rank[a]!, rank[b]!, lane[a]!, lane[b]!, cells);
    return { from, to, route, track: 0 };
  });
  assignTracks(routed, rank);
  return routed;
}

function chooseRoute(start: number, end: number, from: number, to: number, cells: Cells): Route {
  if (end - start === 1) return "straight";
  for (const [lane, route] of [
    [from, "source-lane"],
    [to, "target-lane"],
  ] as const) {
    if (cells.isClear(start, end, lane)) {
      cells.takeBetween(start, end, lane);
      return route;
    }
  }
  return "arc";
}

/** Give every arc the innermost track that no other arc uses over its ranks; short arcs first, so that they nest. */
function assignTracks(edges: RoutedEdge[], rank: Int32Array): void {
  const span = (edge: RoutedEdge): [number, number] => {
    const [a, b] = [rank[edge.from + 1]!, rank[edge.to + 1]!];
    return [Math.min(a, b), Math.max(a, b)];
  };
  const arcs = edges.filter((edge) => edge.route === "arc" || edge.route === "return");
  arcs.sort((a, b) => span(a)[1] - span(a)[0] - (span(b)[1] - span(b)[0]));
  const used: Uint8Array[] = [];
  const gaps = 1 + maximum(rank);
  for (const arc of arcs) {
    const [start, end] = span(arc);
    let track = 0;
    while (track < MAX_TRACKS - 1 && used[track]?.subarray(start, Math.max(end, start + 1)).includes(1)) track += 1;
    (used[track] ??= new Uint8Array(gaps + 1)).fill(1, start, Math.max(end, start + 1));
    arc.track = track;
  }
}
