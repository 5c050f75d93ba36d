import { describe, expect, it } from "vitest";
import { commonestMistakes, normalizeRows, withoutDiagonal } from "../../views/classification_evaluation/confusion";
import { hardestClass, meanArea, namedCurves, type Curve } from "../../views/classification_evaluation/curves";
import { placeDots, scaleOf } from "../../views/cross_validation/dots";
import { pointsOf } from "../../views/regression_evaluation/residuals";

describe("confusion", () => {
  const counts = [8, 2, 0, 1, 3, 0, 0, 0, 0];

  it("divides each row by its sum; a class without examples has no shares", () => {
    const shares = normalizeRows({ counts, classes: 3 });
    expect(Array.from(shares.slice(0, 6))).toEqual([0.8, 0.2, 0, 0.25, 0.75, 0]);
    expect(shares.slice(6).every(Number.isNaN)).toBe(true);
  });

  it("gives rows that sum to one, for any counts", () => {
    const many = Array.from({ length: 100 * 100 }, (_, i) => (i * 7919) % 97);
    const shares = normalizeRows({ counts: many, classes: 100 });
    for (let row = 0; row < 100; row++) {
      expect(shares.slice(row * 100, row * 100 + 100).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 10);
    }
  });

  it("lists wrong labels only, the commonest first", () => {
    expect(commonestMistakes({ counts, classes: 3 })).toEqual([
      { truth: 0, predicted: 1, count: 2, share: 0.2 },
      { truth: 1, predicted: 0, count: 1, share: 0.25 },
    ]);
    expect(commonestMistakes({ counts: [4, 0, 0, 5], classes: 2 })).toEqual([]);
  });

  it("empties the diagonal and nothing else", () => {
    const emptied = Array.from(withoutDiagonal([1, 2, 3, 4], 2));
    expect(emptied.map(Number.isNaN)).toEqual([true, false, false, true]);
    expect([emptied[1], emptied[2]]).toEqual([2, 3]);
  });
});

describe("curves", () => {
  const array = (data: number[]) => ({ data: Float64Array.from(data), shape: [data.length], dtype: "F64" });
  const curve = (area: number): Curve => ({ x: array([0, 1]), y: array([0, 1]), area });

  it("belong to all classes, or to the second of two", () => {
    expect(namedCurves([curve(1), curve(0.5), curve(0.7)], ["a", "b", "c"]).map((one) => one.name)).toEqual([
      "a",
      "b",
      "c",
    ]);
    expect(namedCurves([curve(1)], ["no", "yes"]).map((one) => one.name)).toEqual(["yes"]);
  });

  it("start with the hardest class and leave absent ones out of the mean", () => {
    const curves = namedCurves([curve(NaN), curve(0.9), curve(0.7)], ["absent", "b", "c"]);
    expect(hardestClass(curves)).toBe("c");
    expect(meanArea(curves)).toBeCloseTo(0.8);
    expect(hardestClass([])).toBe("");
  });
});

describe("residuals", () => {
  const sample = { target: [1, 10, 2, 20, NaN, 30], prediction: [1.5, 9, 2, 22, 3, 30], rows: [7, 8, 9] };

  it("takes one output or all, and leaves out what is not finite", () => {
    const second = pointsOf(sample, 2, 1);
    expect(Array.from(second.residual)).toEqual([-1, 2, 0]);
    expect(Array.from(second.row)).toEqual([7, 8, 9]);
    const all = pointsOf(sample, 2, -1);
    expect(Array.from(all.target)).toEqual([1, 10, 2, 20, 30]);
    expect(Array.from(all.output)).toEqual([0, 1, 0, 1, 1]);
  });
});

describe("folds", () => {
  it("stay on the scale and never cover one another", () => {
    const values = [0.9, 0.9, 0.9, 0.905, 0.95, 0.95, NaN];
    const scale = scaleOf(values, 0.92, 0.03);
    const dots = placeDots(values, scale, 400, 10);
    expect(dots).toHaveLength(6);
    dots.forEach((a, i) => {
      expect(a.x).toBeGreaterThan(0);
      expect(a.x).toBeLessThan(400);
      for (const b of dots.slice(i + 1)) expect(Math.hypot(a.x - b.x, a.y - b.y)).toBeGreaterThanOrEqual(9.8);
    });
  });

  it("have a scale even when all are equal, or none is finite", () => {
    const same = scaleOf([1, 1], 1, 0);
    expect(same.high).toBeGreaterThan(same.low);
    expect(scaleOf([NaN], NaN, NaN)).toEqual({ low: 0, high: 1 });
  });
});
