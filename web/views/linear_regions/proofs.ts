/** The checks that were made of the cells, in words. */

import type { LinearRegions } from "../../api/types";
import { formatCount, formatNumber } from "../../parts/format";

export interface Proof {
  readonly name: string;
  readonly figure: string;
  /** Null: was not measured. */
  readonly holds: boolean | null;
}

const TOLERANCE = 1e-9;

export function provenOf({ proofs }: LinearRegions): Proof[] {
  const gap = Math.abs(proofs.area - proofs.slice_area) / proofs.slice_area;
  const agrees = (error: number) => (Number.isNaN(error) ? null : error <= TOLERANCE);
  const found: Proof[] = [
    {
      name: "The areas add up to the slice’s",
      figure: gap === 0 ? "exactly" : `off by ${formatNumber(gap, 2)}`,
      holds: gap <= TOLERANCE,
    },
    { name: "Vertices − edges + cells = 1", figure: formatNumber(proofs.euler), holds: proofs.euler === 1 },
    {
      name: "No edge without its neighbour",
      figure: `${formatCount(proofs.open_edges)} open`,
      holds: proofs.open_edges === 0,
    },
  ];
  if (proofs.linearised > 0) return found;
  return [
    ...found,
    {
      name: "Linear models agree at all corners",
      figure: formatNumber(proofs.vertex_error, 2),
      holds: agrees(proofs.vertex_error),
    },
    {
      name: `… and inside ${formatCount(proofs.checked)} cells`,
      figure: formatNumber(proofs.inside_error, 2),
      holds: agrees(proofs.inside_error),
    },
  ];
}
