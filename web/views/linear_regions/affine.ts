/** The linear model of a cell, from what the network gives at its corners. */

import type { CellPart } from "../../api/region_parts";
import type { LinearRegions } from "../../api/types";

export interface LocalMap {
  /** For each output: the slope along s, the slope along t. */
  readonly slopes: readonly (readonly [number, number])[];
  /** Each output at s = t = 0. */
  readonly offsets: readonly number[];
}

/** Least squares about the middle of the corners: exact, for the network is linear there. */
export function localMap({ points, outputs }: CellPart): LocalMap | null {
  const corners = points.length / 2;
  const count = outputs.length / corners;
  if (!(count > 0)) return null;
  const all = Array.from({ length: corners }, (_, corner) => corner);
  const mean = (pick: (corner: number) => number) => all.reduce((sum, corner) => sum + pick(corner), 0) / corners;
  const middle = [mean((corner) => points[2 * corner] as number), mean((corner) => points[2 * corner + 1] as number)];
  const offset = all.map((corner) => [
    (points[2 * corner] as number) - (middle[0] as number),
    (points[2 * corner + 1] as number) - (middle[1] as number),
  ]) as [number, number][];
  const total = (pick: (dx: number, dy: number) => number) => offset.reduce((sum, [dx, dy]) => sum + pick(dx, dy), 0);
  const [xx, xy, yy] = [total((dx) => dx * dx), total((dx, dy) => dx * dy), total((_, dy) => dy * dy)];
  const determinant = xx * yy - xy * xy;
  if (!(determinant > 1e-18 * (xx + yy) ** 2)) return null; // a sliver says nothing of its slope
  const slopes: [number, number][] = [];
  const offsets: number[] = [];
  for (let output = 0; output < count; output++) {
    const height = mean((corner) => outputs[corner * count + output] as number);
    let [sx, sy] = [0, 0];
    offset.forEach(([dx, dy], corner) => {
      const rise = (outputs[corner * count + output] as number) - height;
      sx += dx * rise;
      sy += dy * rise;
    });
    const slope: [number, number] = [(yy * sx - xy * sy) / determinant, (xx * sy - xy * sx) / determinant];
    slopes.push(slope);
    offsets.push(height - slope[0] * (middle[0] as number) - slope[1] * (middle[1] as number));
  }
  return { slopes, offsets };
}

/** The length of one output's slope in a cell, by its fan's widest triangle: for all cells at once, so without lists. */
export function slopeOf(result: LinearRegions, cell: number, output: number): number {
  const [points, values, ring, start] = [result.vertices.data, result.outputs.data, result.cell_vertex.data, result.cell_start.data]; // prettier-ignore
  const count = outputsOf(result);
  const from = start[cell] as number;
  const hub = ring[from] as number;
  let [most, slope] = [0, NaN];
  for (let place = from + 2; place < (start[cell + 1] as number); place++) {
    const [a, b] = [ring[place - 1] as number, ring[place] as number];
    const ax = (points[2 * a] as number) - (points[2 * hub] as number);
    const ay = (points[2 * a + 1] as number) - (points[2 * hub + 1] as number);
    const bx = (points[2 * b] as number) - (points[2 * hub] as number);
    const by = (points[2 * b + 1] as number) - (points[2 * hub + 1] as number);
    const area = ax * by - ay * bx;
    if (!(area > most)) continue;
    const height = values[hub * count + output] as number;
    const [up, over] = [
      (values[a * count + output] as number) - height,
      (values[b * count + output] as number) - height,
    ];
    most = area;
    slope = Math.hypot(up * by - over * ay, over * ax - up * bx) / area;
  }
  return slope;
}

/** Every output at a place (s, t) of the cell. */
export function evaluate(map: LocalMap, s: number, t: number): number[] {
  return map.slopes.map(([along, up], output) => along * s + up * t + (map.offsets[output] ?? 0));
}

export function outputsOf(result: LinearRegions): number {
  return result.outputs.data.length ? (result.outputs.shape[1] ?? 0) : 0;
}

export function cornersOf(result: LinearRegions, cell: number): number[] {
  const start = result.cell_start.data;
  return Array.from(result.cell_vertex.data.subarray(start[cell] as number, start[cell + 1] as number));
}

/** The area within corners × (s, t) as a share of the slice's. */
export function areaOf(points: ArrayLike<number>, plane: LinearRegions["plane"]): number {
  const [[left = 0, right = 1], [low = 0, high = 1]] = [plane.u_range, plane.v_range];
  const corners = points.length / 2;
  let twice = 0;
  for (let corner = 0; corner < corners; corner++) {
    const next = (corner + 1) % corners;
    const [x0, y0] = [(points[2 * corner] as number) - left, (points[2 * corner + 1] as number) - low];
    const [x1, y1] = [(points[2 * next] as number) - left, (points[2 * next + 1] as number) - low];
    twice += x0 * y1 - x1 * y0;
  }
  return twice / 2 / ((right - left) * (high - low));
}
