import { describe, expect, it } from "vitest";
import { findBeyond, thinDecades, topWithoutOutliers } from "../../parts/chart_options";

const powers = (from: number, to: number, by = 1) =>
  Array.from({ length: (to - from) / by + 1 }, (_, index) => 10 ** (from + index * by));

describe("the labels of a logarithmic axis", () => {
  it("all stand where there is room", () => {
    expect(thinDecades([1, 2, 5, 10, 100], 150)).toEqual([1, 2, 5, 10, 100]);
    expect(thinDecades([], 150)).toEqual([]);
  });

  it("are thinned where there is none, and never all left out", () => {
    const thinned = thinDecades(powers(0, 17), 100).filter((tick) => tick !== null);
    expect(thinned).toEqual([0, 3, 6, 9, 12, 15].map((power) => 10 ** power));
    const odd = powers(-3, 9, 2).flatMap((tick) => [tick, null]);
    expect(thinDecades(odd, 100).filter((tick) => tick !== null).length).toBeGreaterThan(3);
  });
});

describe("a scale with outliers", () => {
  const line = (values: (number | null)[], more = {}) => ({ label: "a", values, color: "red", ...more });
  const top = (values: (number | null)[]) => topWithoutOutliers([line(values)], 2.5);
  const times = [1.9, ...Array.from({ length: 60 }, (_, step) => 0.02 + 0.001 * (step % 5)), null, NaN];

  it("ends where the rest does, and marks them", () => {
    const most = top(times);
    expect(most).toBeCloseTo(0.024, 12);
    const x = times.map((_, step) => step);
    const told = findBeyond(x, [line(times)], most, (value) => `${value} s`);
    expect(told).toEqual([{ x: 0, color: "red", label: "1.9 s" }]);
    expect(findBeyond(x, [line(times)], null, String)).toEqual([]);
  });

  it("tells only the largest of several by its value", () => {
    const values = [5, 9, ...Array.from({ length: 298 }, () => 1), 9];
    expect(top(values)).toBe(1);
    const told = findBeyond(Array.from(values.keys()), [line(values)], 1, String);
    expect(told.map(({ label }) => label)).toEqual(["", "9", ""]);
  });

  it("holds all series, and leaves those that follow from others out of account", () => {
    const blown = [4000, ...Array.from({ length: 100 }, () => 2.4)];
    const smoothed = line(blown.map((_, step) => 4000 * 0.6 ** step), { derived: true }); // prettier-ignore
    const constant = line(blown.map(() => 3));
    expect(topWithoutOutliers([line(blown), smoothed, constant], 50)).toBe(3);
    expect(findBeyond(Array.from(blown.keys()), [line(blown), smoothed], 3, String)).toHaveLength(1);
  });

  it("is left alone where values spread evenly, are few, or often so large", () => {
    expect(top(Array.from({ length: 50 }, (_, step) => 1 + step / 50))).toBeNull();
    expect(top([100, 1, 1, 1])).toBeNull();
    expect(top(Array.from({ length: 50 }, (_, step) => (step % 5 ? 1 : 100)))).toBeNull();
    expect(top(Array.from({ length: 20 }, () => NaN))).toBeNull();
    expect(top([1, ...Array.from({ length: 20 }, () => 0)])).toBeNull();
    expect(topWithoutOutliers([], 2)).toBeNull();
  });
});
