/** The parts of linear regions that are there as a whole: in a report or a notebook. */

import type { CellPart, RegionParts } from "../../api/region_parts";
import type { LinearRegions } from "../../api/types";
import { cornersOf, outputsOf, slopeOf } from "./affine";
import { bendingUnits, bendsAt } from "./kinks";
import { Patterns } from "./patterns";

export function localParts(result: LinearRegions): RegionParts {
  const patterns = new Patterns(result);
  const cells = Math.max(0, result.cell_start.data.length - 1);
  const layersOf = (layer: number) => (layer < 0 ? result.patterns.map((_, index) => index) : [layer]);
  return {
    get bending() {
      return result.kinks.map((kink) => bendingUnits(result, kink));
    },
    cell: (cell) => cellOf(result, patterns, cell),
    state: (layer, unit) => patterns.state(layer, unit),
    active(layer) {
      const counts = layersOf(layer).map((index) => patterns.active(index));
      return Float32Array.from({ length: cells }, (_, cell) => counts.reduce((sum, own) => sum + (own[cell] ?? 0), 0));
    },
    pattern: (layer) => patterns.codes(layersOf(layer)),
    slope: (output) => Float32Array.from({ length: cells }, (_, cell) => slopeOf(result, cell, output)),
    bends(layer, unit) {
      const kink = result.kinks[layer];
      if (!kink) return new Uint32Array();
      const belongs = bendsAt(kink, unit < 0 ? null : unit);
      const pairs = result.edge_vertex.data;
      const found: number[] = [];
      result.edge_kink.data.forEach((number, edge) => {
        if (belongs(number)) found.push(pairs[2 * edge] as number, pairs[2 * edge + 1] as number);
      });
      return Uint32Array.from(found);
    },
  };
}

function cellOf(result: LinearRegions, patterns: Patterns, cell: number): CellPart {
  const corners = cornersOf(result, cell);
  const count = outputsOf(result);
  const [points, values] = [result.vertices.data, result.outputs.data];
  const start = result.cell_start.data;
  const edges = Array.from(result.cell_edge.data.subarray(start[cell] as number, start[cell + 1] as number));
  return {
    cell,
    points: corners.flatMap((corner) => [points[2 * corner] as number, points[2 * corner + 1] as number]),
    outputs: corners.flatMap((corner) => Array.from(values.subarray(corner * count, (corner + 1) * count))),
    sides: edges.map((edge) => result.edge_kink.data[edge] as number),
    states: result.patterns.map((_, layer) => patterns.states(layer, cell)),
  };
}
