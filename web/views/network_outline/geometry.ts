/** Pixels of a network diagram: from ranks, lanes and tracks to boxes and SVG paths. */

import type { Layout, RoutedEdge } from "./layout";

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Whether ranks run across the page or down it, and the sizes of everything, in CSS pixels. */
export interface Measures {
  across: boolean;
  width: number;
  height: number;
  rankGap: number;
  laneGap: number;
  trackGap: number;
  padding: number;
}

export const ACROSS: Measures = {
  across: true,
  width: 150,
  height: 116,
  rankGap: 30,
  laneGap: 20,
  trackGap: 11,
  padding: 12,
};
export const DOWN: Measures = {
  across: false,
  width: 340,
  height: 64,
  rankGap: 22,
  laneGap: 24,
  trackGap: 12,
  padding: 12,
};

/** The widest a box of a diagram across, and of one down, may become. */
const WIDEST = { across: 210, down: 760 };

/** Across where the whole network then fits in `available` pixels, down otherwise; boxes widen to fill the room. */
export function chooseMeasures(layout: Layout, available: number, beside = 0): Measures {
  const room = (available - 2 * ACROSS.padding + ACROSS.rankGap) / layout.ranks - ACROSS.rankGap;
  if (room >= ACROSS.width) return { ...ACROSS, width: Math.floor(Math.min(WIDEST.across, room)) };
  const gutter = gutterOf(layout, DOWN) + beside;
  const lane = (available - 2 * DOWN.padding - gutter + DOWN.laneGap) / layout.lanes - DOWN.laneGap;
  return { ...DOWN, width: Math.round(Math.min(WIDEST.down, Math.max(280, lane))) };
}

/** Room kept for arcs beside the boxes. */
export function gutterOf(layout: Layout, measures: Measures): number {
  return layout.tracks ? 14 + layout.tracks * measures.trackGap : 0;
}

/** The box of each node; index 0 is the input. */
export function placeBoxes(layout: Layout, measures: Measures): Box[] {
  const { across, width, height, rankGap, laneGap, padding } = measures;
  const gutter = padding + gutterOf(layout, measures);
  return Array.from(layout.rank, (rank, index) => {
    const lane = layout.lane[index]!;
    const x = across ? padding + rank * (width + rankGap) : gutter + lane * (width + laneGap);
    const y = across ? gutter + lane * (height + laneGap) : padding + rank * (height + rankGap);
    return { x, y, width, height };
  });
}

/** Width and height of the whole diagram. */
export function extentOf(layout: Layout, measures: Measures): { width: number; height: number } {
  const { across, width, height, rankGap, laneGap, padding } = measures;
  const gutter = gutterOf(layout, measures);
  const along = (size: number, gap: number, count: number): number => 2 * padding + count * (size + gap) - gap;
  return across
    ? { width: along(width, rankGap, layout.ranks), height: gutter + along(height, laneGap, layout.lanes) }
    : { width: gutter + along(width, laneGap, layout.lanes), height: along(height, rankGap, layout.ranks) };
}

type Point = [number, number];

/** The SVG path of an edge. All of it is worked out as if ranks ran down, and turned for diagrams across. */
export function edgePath(edge: RoutedEdge, layout: Layout, boxes: readonly Box[], measures: Measures): string {
  const turn = (box: Box): Box =>
    measures.across ? { x: box.y, y: box.x, width: box.height, height: box.width } : box;
  const from = turn(boxes[edge.from + 1]!);
  const to = turn(boxes[edge.to + 1]!);
  const at = ([x, y]: Point): string => (measures.across ? `${round(y)} ${round(x)}` : `${round(x)} ${round(y)}`);
  if (edge.route === "arc" || edge.route === "return") {
    const x = Math.max(3, measures.padding + gutterOf(layout, measures) - 14 - edge.track * measures.trackGap);
    const laneOf = (index: number): number => layout.lane[index + 1]!;
    return roundedPath(arcPoints(x, from, to, laneOf(edge.from), laneOf(edge.to), measures.rankGap), at);
  }
  const start: Point = [from.x + from.width / 2, from.y + from.height];
  const end: Point = [to.x + to.width / 2, to.y];
  if (start[0] === end[0]) return `M${at(start)}L${at(end)}`;
  const bend = (a: Point, b: Point): string => {
    const middle = (a[1] + b[1]) / 2;
    return `C${at([a[0], middle])} ${at([b[0], middle])} ${at(b)}`;
  };
  if (edge.route === "source-lane") {
    const turning: Point = [start[0], end[1] - measures.rankGap];
    return `M${at(start)}L${at(turning)}${bend(turning, end)}`;
  }
  const turning: Point = [end[0], start[1] + measures.rankGap];
  return `M${at(start)}${bend(start, turning)}L${at(end)}`;
}

/** Corners of an arc at `x`. A box beside the gutter is left sideways; one in a later lane through the gap after it. */
function arcPoints(x: number, from: Box, to: Box, fromLane: number, toLane: number, gap: number): Point[] {
  const after = from.y + from.height + gap * 0.4;
  const before = to.y - gap * 0.4;
  // Leaving below the middle and arriving above it keeps the two arcs of one box apart.
  const out: Point[] = fromLane
    ? [
        [from.x + from.width * 0.25, from.y + from.height],
        [from.x + from.width * 0.25, after],
        [x, after],
      ]
    : [
        [from.x, from.y + from.height * 0.68],
        [x, from.y + from.height * 0.68],
      ];
  const into: Point[] = toLane
    ? [
        [x, before],
        [to.x + to.width * 0.25, before],
        [to.x + to.width * 0.25, to.y],
      ]
    : [
        [x, to.y + to.height * 0.32],
        [to.x, to.y + to.height * 0.32],
      ];
  return [...out, ...into];
}

/** A polyline of right angles with its corners rounded. */
function roundedPath(points: readonly Point[], at: (point: Point) => string, radius = 9): string {
  let path = `M${at(points[0]!)}`;
  for (let i = 1; i < points.length - 1; i += 1) {
    const [before, corner, after] = [points[i - 1]!, points[i]!, points[i + 1]!];
    const toward = (end: Point): Point => {
      const length = Math.hypot(end[0] - corner[0], end[1] - corner[1]) || 1;
      const step = Math.min(radius, length / 2);
      return [corner[0] + ((end[0] - corner[0]) / length) * step, corner[1] + ((end[1] - corner[1]) / length) * step];
    };
    path += `L${at(toward(before))}Q${at(corner)} ${at(toward(after))}`;
  }
  return `${path}L${at(points[points.length - 1]!)}`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Indices (0 is the input) of boxes that touch a window, with a margin on all sides. */
export function boxesWithin(boxes: readonly Box[], view: Box, margin = 300): number[] {
  const out: number[] = [];
  boxes.forEach((box, index) => {
    const inside =
      box.x + box.width > view.x - margin &&
      box.x < view.x + view.width + margin &&
      box.y + box.height > view.y - margin &&
      box.y < view.y + view.height + margin;
    if (inside) out.push(index);
  });
  return out;
}

/** Edges whose extent along the ranks touches a window. */
export function edgesWithin(
  edges: readonly RoutedEdge[],
  boxes: readonly Box[],
  view: Box,
  across: boolean,
  margin = 300,
): RoutedEdge[] {
  const low = (across ? view.x : view.y) - margin;
  const high = (across ? view.x + view.width : view.y + view.height) + margin;
  return edges.filter((edge) => {
    const a = boxes[edge.from + 1]!;
    const b = boxes[edge.to + 1]!;
    const start = across ? Math.min(a.x, b.x) : Math.min(a.y, b.y);
    const end = across ? Math.max(a.x + a.width, b.x + b.width) : Math.max(a.y + a.height, b.y + b.height);
    return end >= low && start <= high;
  });
}
