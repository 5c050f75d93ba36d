import { describe, expect, it } from "vitest";
import { distributionsOf, indexAt, indexNear, kindsOf } from "../../views/layer_history/rows";
import { densities, paintHeat, rowOfPixel } from "../../views/layer_history/heat";
import {
  centralAxis,
  evenly,
  fullAxis,
  massOf,
  momentsOf,
  rebin,
  type Histogram,
} from "../../views/layer_history/rebin";

/** Numbers that repeat from run to run (Park and Miller 1988). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

function someHistogram(random: () => number): Histogram {
  const low = (random() - 0.5) * 10 ** (random() * 6 - 3);
  const high = low + random() * 10 ** (random() * 6 - 3);
  return { low, high, counts: Int32Array.from({ length: 64 }, () => Math.floor(random() ** 4 * 5000)) };
}

const total = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0);

describe("rebin", () => {
  it("loses no count, whatever the two axes", () => {
    const random = randomNumbers(7);
    for (let trial = 0; trial < 500; trial += 1) {
      const histogram = someHistogram(random);
      const other = someHistogram(random);
      const axis = { low: other.low, high: other.high + 1e-9, bins: 1 + Math.floor(random() * 100) };
      const { counts, below, above } = rebin(histogram, axis);
      expect(total(counts) + below + above).toBeCloseTo(massOf(histogram), 4);
      expect(Math.min(below, above, ...counts)).toBeGreaterThanOrEqual(0);
    }
  });

  it("keeps everything inside an axis that covers the histogram", () => {
    const random = randomNumbers(11);
    for (let trial = 0; trial < 200; trial += 1) {
      const several = Array.from({ length: 5 }, () => someHistogram(random));
      const axis = fullAxis(several, 80);
      for (const histogram of several) {
        expect(total(rebin(histogram, axis).counts) / Math.max(1, massOf(histogram))).toBeCloseTo(
          massOf(histogram) ? 1 : 0,
          6,
        );
      }
    }
  });

  it("gives the counts back on the histogram's own axis", () => {
    const counts = [1, 5, 0, 2];
    expect(Array.from(rebin({ low: -1, high: 3, counts }, { low: -1, high: 3, bins: 4 }).counts)).toEqual(counts);
  });

  it("shares a bin in proportion to the overlap, as the integral of its density does", () => {
    const { counts, below, above } = rebin({ low: 0, high: 4, counts: [8, 4] }, { low: 1, high: 3, bins: 4 });
    expect(below).toBe(4);
    expect(above).toBe(2);
    expect(Array.from(counts)).toEqual([2, 2, 1, 1]);
  });

  it("keeps the mean where the axis is fine", () => {
    const histogram = { low: -2, high: 5, counts: [3, 9, 4, 1, 1, 7, 2] };
    const fine = rebin(histogram, { low: -3, high: 6, bins: 9000 });
    expect(momentsOf({ low: -3, high: 6, counts: fine.counts }).mean).toBeCloseTo(momentsOf(histogram).mean, 3);
  });

  it("puts a point where it is, and tells values outside apart", () => {
    const point = { low: 2, high: 2, counts: [0, 10] };
    expect(Array.from(rebin(point, { low: 0, high: 4, bins: 4 }).counts)).toEqual([0, 0, 10, 0]);
    expect(rebin(point, { low: 0, high: 2, bins: 2 }).counts[1]).toBe(10);
    expect(rebin(point, { low: 3, high: 4, bins: 2 }).below).toBe(10);
    expect(rebin(point, { low: 0, high: 1, bins: 2 }).above).toBe(10);
  });

  it("shows nothing for a histogram whose edges are not finite", () => {
    expect(total(rebin({ low: NaN, high: NaN, counts: [1, 2] }, { low: 0, high: 1, bins: 2 }).counts)).toBe(0);
  });
});

describe("axes", () => {
  it("covers all histograms, and gives a single point room", () => {
    expect(
      fullAxis(
        [
          { low: -1, high: 2, counts: [1] },
          { low: 0, high: 5, counts: [1] },
        ],
        10,
      ),
    ).toEqual({ low: -1, high: 5, bins: 10 });
    const axis = fullAxis([{ low: 0, high: 0, counts: [1] }], 10);
    expect(axis.low).toBeLessThan(0);
    expect(axis.high).toBeGreaterThan(0);
    expect(fullAxis([], 10)).toEqual({ low: 0, high: 1, bins: 10 });
  });

  it("ignores a few far values on the central axis", () => {
    const many = Array.from({ length: 50 }, () => ({ low: -1, high: 1, counts: [5, 10, 10, 5] }));
    const far = { low: -1, high: 1000, counts: [9999, ...Array.from({ length: 62 }, () => 0), 1] };
    const axis = centralAxis([...many, far], 40);
    expect(axis.high).toBeLessThan(30);
    expect(axis.low).toBeCloseTo(-1, 0);
  });

  it("spreads indices evenly with both ends", () => {
    expect(evenly(3, 10)).toEqual([0, 1, 2]);
    expect(evenly(101, 5)).toEqual([0, 25, 50, 75, 100]);
  });
});

describe("steps", () => {
  it("are found at or before, or nearest to, a step", () => {
    const steps = [0, 10, 30];
    expect([-5, 0, 9, 10, 29, 99].map((step) => indexAt(steps, step))).toEqual([0, 0, 0, 1, 1, 2]);
    expect([-5, 4, 6, 19, 21, 99].map((step) => indexNear(steps, step))).toEqual([0, 0, 1, 1, 2, 2]);
  });

  it("give the distributions of one layer and kind, in order", () => {
    const numbers = (data: number[], width = 1) => ({ kind: "numbers", data: Float64Array.from(data), width }) as const;
    const frame = {
      table: "histograms",
      rows: 3,
      sampled: false,
      columns: {
        step: numbers([20, 10, 10]),
        layer: { kind: "labels", codes: Int16Array.from([0, 0, 1]), labels: ["a", "b"] } as const,
        kind: { kind: "labels", codes: Int16Array.from([0, 0, 0]), labels: ["weight"] } as const,
        low: numbers([0, -1, 5]),
        high: numbers([1, 1, 6]),
        counts: numbers([1, 2, 3, 4, 5, 6], 2),
        elements: numbers([3, 7, 11]),
      },
    };
    const { steps, histograms, elements } = distributionsOf(frame, "a", "weight");
    expect(Array.from(steps)).toEqual([10, 20]);
    expect(histograms.map(({ low, counts }) => [low, ...Array.from(counts)])).toEqual([
      [-1, 3, 4],
      [0, 1, 2],
    ]);
    expect(Array.from(elements)).toEqual([7, 3]);
    expect(kindsOf(frame, "b")).toEqual(["weight"]);
    expect(distributionsOf(frame, "absent", "weight").histograms).toEqual([]);
  });
});

describe("heat map", () => {
  it("draws each pixel from the row nearest in time", () => {
    const steps = [3, 4, 7, 31, 90, 99];
    const nearest = Array.from({ length: 37 }, (_, x) => {
      const step = 3 + (96 * (x + 0.5)) / 37;
      const distances = steps.map((at) => Math.abs(at - step));
      return distances.indexOf(Math.min(...distances));
    });
    expect(Array.from(rowOfPixel(steps, 37))).toEqual(nearest);
    expect(Array.from(rowOfPixel([5], 3))).toEqual([0, 0, 0]);
  });

  it("paints the greatest value with the last colour and high values at the top", () => {
    const axis = { low: 0, high: 2, bins: 2 };
    const density = densities(
      [
        { low: 0, high: 2, counts: [0, 4] },
        { low: 0, high: 2, counts: [2, 2] },
      ],
      axis,
    );
    expect(Array.from(density)).toEqual([0, 1, 0.5, 0.5]);
    const palette = Uint8ClampedArray.from({ length: 1024 }, (_, i) => (i % 4 === 3 ? 255 : i >> 2));
    const pixels = new Uint8ClampedArray(16);
    const broken = { rows: Uint8Array.from([0, 1]), color: [9, 8, 7] as const };
    paintHeat(pixels, 2, Int32Array.from([0, 1]), density, 2, palette, broken);
    expect([pixels[0], pixels[8]]).toEqual([255, 0]);
    expect([...pixels.subarray(12)]).toEqual([9, 8, 7, 255]);
    expect(pixels[4]).toBe(Math.round(255 * Math.SQRT1_2));
    expect(pixels[3]).toBe(255);
  });
});
