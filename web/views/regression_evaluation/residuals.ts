/** Points of the residual plots: predictions, targets and their differences. */

/** Flattened points of one or all outputs of a sample shaped (rows, outputs). */
export interface Points {
  target: Float64Array;
  prediction: Float64Array;
  /** Prediction minus target. */
  residual: Float64Array;
  /** Row number in the source. */
  row: Float64Array;
  /** Index of the output. */
  output: Float64Array;
}

/** The points of one output, or of every output where `output` is −1; pairs that are not finite are left out. */
export function pointsOf(
  sample: { target: ArrayLike<number>; prediction: ArrayLike<number>; rows: ArrayLike<number> },
  outputs: number,
  output: number,
): Points {
  const kept: number[] = [];
  for (let at = 0; at < sample.target.length; at++) {
    const isWanted = output < 0 || at % outputs === output;
    if (isWanted && Number.isFinite(sample.target[at]) && Number.isFinite(sample.prediction[at])) kept.push(at);
  }
  const target = Float64Array.from(kept, (at) => sample.target[at]!);
  const prediction = Float64Array.from(kept, (at) => sample.prediction[at]!);
  return {
    target,
    prediction,
    residual: prediction.map((value, i) => value - target[i]!),
    row: Float64Array.from(kept, (at) => sample.rows[Math.floor(at / outputs)]!),
    output: Float64Array.from(kept, (at) => at % outputs),
  };
}
