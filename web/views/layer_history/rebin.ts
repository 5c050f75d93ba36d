/**
 * Histograms with edges of their own, put on one common axis so that they can be compared over time.
 *
 * A count is spread evenly over its bin, so a bin that straddles two new ones is shared in proportion to the overlap. No
 * count is lost: what lies outside the axis is told apart as `below` and `above`.
 */

/** Counts over equal bins between two edges; low = high means that all values were equal. */
export interface Histogram {
  low: number;
  high: number;
  counts: ArrayLike<number>;
}

export interface Axis {
  low: number;
  high: number;
  bins: number;
}

export interface Rebinned {
  counts: Float64Array;
  below: number;
  above: number;
}

/** Share a histogram's counts among the bins of an axis. */
export function rebin(histogram: Histogram, axis: Axis): Rebinned {
  const out: Rebinned = { counts: new Float64Array(axis.bins), below: 0, above: 0 };
  const { low, high, counts } = histogram;
  if (!Number.isFinite(low) || !Number.isFinite(high)) return out;
  const width = (high - low) / counts.length;
  for (let i = 0; i < counts.length; i += 1) {
    if (counts[i]! > 0)
      spread(out, axis, low + i * width, i + 1 === counts.length ? high : low + (i + 1) * width, counts[i]!);
  }
  return out;
}

function spread(out: Rebinned, axis: Axis, from: number, to: number, count: number): void {
  const scale = axis.bins / (axis.high - axis.low);
  if (!(to > from)) {
    place(out, axis, (from - axis.low) * scale, from > axis.high, count);
    return;
  }
  const a = (from - axis.low) * scale;
  const b = (to - axis.low) * scale;
  if (!(b > a)) {
    place(out, axis, a, a > axis.bins, count);
    return;
  }
  const density = count / (b - a);
  out.below += Math.max(0, Math.min(b, 0) - a) * density;
  out.above += Math.max(0, b - Math.max(a, axis.bins)) * density;
  const last = Math.min(axis.bins, Math.ceil(b));
  for (let bin = Math.max(0, Math.floor(a)); bin < last; bin += 1) {
    out.counts[bin]! += Math.max(0, Math.min(b, bin + 1) - Math.max(a, bin)) * density;
  }
}

/** Put a whole count at one point of the axis. */
function place(out: Rebinned, axis: Axis, position: number, isAbove: boolean, count: number): void {
  if (position < 0) out.below += count;
  else if (isAbove) out.above += count;
  else out.counts[Math.min(axis.bins - 1, Math.floor(position))]! += count;
}

/** The narrowest axis that holds every histogram; a point is given some room on both sides. */
export function fullAxis(histograms: readonly Histogram[], bins: number): Axis {
  let low = Infinity;
  let high = -Infinity;
  for (const histogram of histograms) {
    if (!Number.isFinite(histogram.low) || !Number.isFinite(histogram.high)) continue;
    low = Math.min(low, histogram.low);
    high = Math.max(high, histogram.high);
  }
  return roomy(low, high, bins);
}

function roomy(low: number, high: number, bins: number): Axis {
  if (!(low <= high)) return { low: 0, high: 1, bins };
  const room = high > low ? 0 : Math.max(Math.abs(low) * 0.5, 1e-6);
  return { low: low - room, high: high + room, bins };
}

/**
 * The axis between two quantiles of all values of all histograms, each histogram weighing the same. One step whose values
 * are a thousand times larger would otherwise squeeze all others into one bin.
 */
export function centralAxis(histograms: readonly Histogram[], bins: number, share = 0.998): Axis {
  const full = fullAxis(histograms, 4096);
  const sum = new Float64Array(full.bins);
  for (const histogram of histograms) {
    const total = massOf(histogram);
    if (total > 0) rebin(histogram, full).counts.forEach((count, bin) => (sum[bin]! += count / total));
  }
  const all = sum.reduce((a, b) => a + b, 0);
  const tail = ((1 - share) / 2) * all;
  const first = quantileBin(sum, tail);
  const last = sum.length - 1 - quantileBin(Float64Array.from(sum).reverse(), tail);
  const width = (full.high - full.low) / full.bins;
  return all > 0 ? roomy(full.low + first * width, full.low + (last + 1) * width, bins) : { ...full, bins };
}

function quantileBin(counts: Float64Array, mass: number): number {
  let seen = 0;
  for (let bin = 0; bin < counts.length; bin += 1) {
    seen += counts[bin]!;
    if (seen > mass) return bin;
  }
  return counts.length - 1;
}

/** All counts of a histogram together. */
export function massOf(histogram: Histogram): number {
  let total = 0;
  for (let i = 0; i < histogram.counts.length; i += 1) total += histogram.counts[i]!;
  return total;
}

/** Mean and standard deviation of a histogram, each value taken at the middle of its bin. */
export function momentsOf(histogram: Histogram): { mean: number; std: number } {
  const total = massOf(histogram);
  const width = (histogram.high - histogram.low) / histogram.counts.length;
  let mean = 0;
  for (let i = 0; i < histogram.counts.length; i += 1)
    mean += (histogram.low + (i + 0.5) * width) * histogram.counts[i]!;
  mean /= total;
  let square = 0;
  for (let i = 0; i < histogram.counts.length; i += 1)
    square += (histogram.low + (i + 0.5) * width - mean) ** 2 * histogram.counts[i]!;
  return { mean, std: Math.sqrt(square / total) };
}

/** `count` indices spread evenly over `length`, first and last among them. */
export function evenly(length: number, count: number): number[] {
  if (length <= count) return Array.from({ length }, (_, i) => i);
  return Array.from({ length: count }, (_, i) => Math.round((i * (length - 1)) / (count - 1)));
}
