/** The arithmetic of a network along a line: classes piece by piece, and what bends where. */

import type { RegionsOnLine } from "../../api/types";

export type LineKink = RegionsOnLine["operations"][number];

/** A stretch of the way on which one class wins. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly winner: number;
}

export function outputsAt(result: RegionsOnLine): number {
  return result.outputs.shape[1] ?? 0;
}

/** The values of one output at the breaks. */
export function outputAlong(result: RegionsOnLine, output: number): Float64Array {
  const count = outputsAt(result);
  return Float64Array.from(result.breaks.data, (_, at) => result.outputs.data[at * count + output] as number);
}

/** Who wins from where to where, exact; a network of one output parts 0 and 1 at `level`. */
export function stretches(result: RegionsOnLine, level = 0): Stretch[] {
  const count = outputsAt(result);
  const breaks = result.breaks.data;
  const values = (at: number): number[] => {
    const given = Array.from(result.outputs.data.subarray(at * count, (at + 1) * count));
    return count === 1 ? [level, given[0] ?? NaN] : given;
  };
  const found: { from: number; to: number; winner: number }[] = [];
  const add = (from: number, to: number, winner: number) => {
    const last = found[found.length - 1];
    if (last?.winner === winner) last.to = to;
    else if (to > from) found.push({ from, to, winner });
  };
  for (let piece = 0; piece + 1 < breaks.length; piece++) {
    const [start, end] = [breaks[piece] as number, breaks[piece + 1] as number];
    for (const { from, to, winner } of upper(values(piece), values(piece + 1)))
      add(start + from * (end - start), start + to * (end - start), winner);
  }
  return found;
}

/** The upper envelope of straight lines over 0–1. */
function upper(first: readonly number[], last: readonly number[]): Stretch[] {
  const rise = first.map((value, one) => (last[one] as number) - value);
  const leads = (a: number, b: number) =>
    (first[a] as number) - (first[b] as number) || (rise[a] as number) - (rise[b] as number);
  let winner = first.reduce((best, _, one) => (leads(one, best) > 0 ? one : best), 0);
  const found: Stretch[] = [];
  for (let from = 0; from < 1;) {
    let [meet, next] = [1, winner];
    for (let one = 0; one < first.length; one++) {
      const gain = (rise[one] as number) - (rise[winner] as number);
      if (!(gain > 0)) continue;
      const at = Math.max(from, ((first[winner] as number) - (first[one] as number)) / gain);
      if (at < meet || (at === meet && next !== winner && gain > (rise[next] as number) - (rise[winner] as number)))
        [meet, next] = [at, one];
    }
    if (meet > from) found.push({ from, to: meet, winner });
    if (next === winner) break;
    [from, winner] = [meet, next];
  }
  return found;
}

/** For each operation, where it bends the network. */
export function bendsOf(result: RegionsOnLine, { first, quantities }: LineKink): number[] {
  const breaks = result.breaks.data;
  return Array.from(breaks).filter((_, at) => {
    const number = result.kinks.data[at] as number;
    return number >= first && number < first + quantities;
  });
}
