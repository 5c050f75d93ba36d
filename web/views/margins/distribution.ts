/** The distribution of margins, for drawing. */

export interface Histogram {
  readonly counts: number[];
  readonly edges: number[];
}

/** Counts over equal bins; 0 is an edge, so that no bar holds both right and wrong. NaN and infinities are left out. */
export function histogramOf(values: readonly number[], bins = 40): Histogram {
  const kept = values.filter(Number.isFinite);
  if (!kept.length) return { counts: [], edges: [] };
  const low = kept.reduce((a, b) => Math.min(a, b), 0);
  const high = kept.reduce((a, b) => Math.max(a, b), 0);
  const step = (high - low || 1) / bins;
  const below = Math.ceil(-low / step - 1e-9);
  const above = Math.max(1, Math.ceil(high / step - 1e-9));
  const counts = new Array<number>(below + above).fill(0);
  for (const value of kept) {
    const place = Math.min(counts.length - 1, Math.max(0, Math.floor(value / step) + below));
    counts[place] = (counts[place] ?? 0) + 1;
  }
  return { counts, edges: Array.from({ length: counts.length + 1 }, (_, place) => (place - below) * step) };
}

/** The median of every class's finite values; NaN for a class without any. */
export function mediansByClass(values: readonly number[], labels: readonly number[], classes: number): number[] {
  const own: number[][] = Array.from({ length: classes }, () => []);
  values.forEach((value, place) => {
    if (Number.isFinite(value)) own[labels[place] ?? -1]?.push(value);
  });
  return own.map((list) => {
    list.sort((a, b) => a - b);
    const middle = list.length >> 1;
    if (!list.length) return NaN;
    return list.length % 2 ? list[middle]! : (list[middle - 1]! + list[middle]!) / 2;
  });
}
