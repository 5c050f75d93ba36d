/** The operations that bend a network, and the edges of cells along which they do. */

import type { CellPart } from "../../api/region_parts";
import type { LinearRegions } from "../../api/types";

export type Kink = LinearRegions["kinks"][number];

export function kinkName(kink: Kink): string {
  return kink.module ? `${kink.module} (${kink.op})` : kink.op;
}

/** How many units can be asked for. */
export function unitsOf(kink: Kink | undefined): number {
  return kink ? Math.max(1, kink.units || kink.quantities) : 0;
}

/** Whether an edge's number belongs to an operation, or to one of its units. */
export function bendsAt(kink: Kink, unit: number | null): (number: number) => boolean {
  const last = kink.first + kink.quantities;
  const units = unitsOf(kink);
  return (number) =>
    number >= kink.first && number < last && (unit === null || (number - kink.first) % units === unit % units);
}

/** The operation behind an edge's number; undefined for the slice's border. */
export function kinkOf(result: LinearRegions, number: number): Kink | undefined {
  return number < 0 ? undefined : result.kinks.findLast((kink) => kink.first <= number);
}

/** What bends at each side of a cell; '' for the border. */
export function sides(result: LinearRegions, { sides: numbers }: CellPart): { name: string; unit: number }[] {
  return Array.from(numbers, (number) => {
    const kink = kinkOf(result, number);
    return { name: kink ? kink.module || kink.op : "", unit: kink ? (number - kink.first) % unitsOf(kink) : -1 };
  });
}

/** How many edges each unit of an operation bends, for the ones that bend nothing are silent in this slice. */
export function bendingUnits(result: LinearRegions, kink: Kink): number {
  const found = new Set<number>();
  const belongs = bendsAt(kink, null);
  for (const number of result.edge_kink.data) if (belongs(number)) found.add((number - kink.first) % unitsOf(kink));
  return found.size;
}
