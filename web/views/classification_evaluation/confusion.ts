/** A confusion matrix read as shares of the true classes, and the mistakes in it that happen most. */

/** Counts in rows of true and columns of predicted classes, row after row. */
export interface Confusion {
  counts: ArrayLike<number>;
  classes: number;
}

/** Each row divided by its sum: the share of a true class that was given each label. A class without examples gives NaN. */
export function normalizeRows({ counts, classes }: Confusion): Float64Array {
  const out = new Float64Array(classes * classes);
  for (let row = 0; row < classes; row += 1) {
    let sum = 0;
    for (let column = 0; column < classes; column += 1) sum += counts[row * classes + column]!;
    for (let column = 0; column < classes; column += 1)
      out[row * classes + column] = sum > 0 ? counts[row * classes + column]! / sum : NaN;
  }
  return out;
}

export interface Mistake {
  truth: number;
  predicted: number;
  count: number;
  /** Of all examples of the true class. */
  share: number;
}

/** The wrong labels given most often, most first. */
export function commonestMistakes(confusion: Confusion, limit = 5): Mistake[] {
  const shares = normalizeRows(confusion);
  const out: Mistake[] = [];
  for (let truth = 0; truth < confusion.classes; truth += 1) {
    for (let predicted = 0; predicted < confusion.classes; predicted += 1) {
      const at = truth * confusion.classes + predicted;
      const count = confusion.counts[at]!;
      if (truth !== predicted && count > 0) out.push({ truth, predicted, count, share: shares[at]! });
    }
  }
  return out.sort((a, b) => b.count - a.count || b.share - a.share).slice(0, limit);
}

/** The matrix with its diagonal emptied (NaN), so that the mistakes have the scale to themselves. */
export function withoutDiagonal(values: ArrayLike<number>, classes: number): Float64Array {
  const out = Float64Array.from(values);
  for (let index = 0; index < classes; index += 1) out[index * classes + index] = NaN;
  return out;
}
