/** Points of the residual plots: predictions, targets and their differences. */

/** Flattened points of one or all outputs of a sample shaped (rows, outputs). */
export interface Points {
  target: Float64Array;
  prediction: Float64Array;
  /** Prediction minus target. */
  residual: Float64Array;
  /** Row number in the source. */
  row: Float64Array;
}

/** The points of one output, or of every output where `output` is −1; pairs that are not finite are left out. */
export function pointsOf(
  target: ArrayLike<number>,
  prediction: ArrayLike<number>,
  rows: ArrayLike<number>,
  outputs: number,
  output: number,
): Points {
  const kept: number[] = [];
  for (let at = 0; at < target.length; at += 1) {
    const isWanted = output < 0 || at % outputs === output;
    if (isWanted && Number.isFinite(target[at]) && Number.isFinite(prediction[at])) kept.push(at);
  }
  const from = (values: ArrayLike<number>): Float64Array => Float64Array.from(kept, (at) => values[at]!);
  const points = {
    target: from(target),
    prediction: from(prediction),
    row: Float64Array.from(kept, (at) => rows[Math.floor(at / outputs)]!),
  };
  return { ...points, residual: points.prediction.map((value, i) => value - points.target[i]!) };
}

/** Smallest and largest value of some arrays, with a margin on both sides. */
export function rangeOf(arrays: readonly ArrayLike<number>[], margin = 0.04): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const values of arrays) {
    for (let i = 0; i < values.length; i += 1) {
      low = Math.min(low, values[i]!);
      high = Math.max(high, values[i]!);
    }
  }
  if (!(low <= high)) return [0, 1];
  const room = (high - low) * margin || Math.abs(low) * 0.5 || 1;
  return [low - room, high + room];
}

/** The index of the point nearest to a place on the screen, or −1 if none is within `reach` pixels. */
export function nearestPoint(xs: ArrayLike<number>, ys: ArrayLike<number>, x: number, y: number, reach = 12): number {
  let best = -1;
  let least = reach * reach;
  for (let i = 0; i < xs.length; i += 1) {
    const distance = (xs[i]! - x) ** 2 + (ys[i]! - y) ** 2;
    if (distance <= least) {
      least = distance;
      best = i;
    }
  }
  return best;
}
