import { describe, expect, it } from "vitest";
import { decodeSegment, emptyFrame } from "../../api/frames";
import { buildCharts, eventMarks, placer, smoothCurve } from "../../views/training_curves/curves";
import { packRows } from "../api/pack";

const LOSS = [4, 2, NaN, 1, Infinity, 0.5];
const steps = decodeSegment(
  packRows({
    first: 0,
    next: 6,
    numbers: {
      step: [0, 1, 2, 3, 4, 5],
      epoch: [0, 0, 0, 1, 1, 1],
      time_s: [1, 2, 3, 4, 5, 6],
      loss: LOSS,
      learning_rate: [0.1, 0.1, 0.1, 0.01, 0.01, 0.01],
      gradient_norm: [NaN, NaN, NaN, NaN, NaN, NaN],
      step_time_s: [1, 1, 1, 1, 1, 1],
    },
    lost: { loss: [2] },
  }),
).frame;
const metrics = decodeSegment(
  packRows({
    table: "metrics",
    first: 0,
    next: 4,
    numbers: { step: [2, 2, 5, 5], time_s: [3.5, 3.5, 6.5, 6.5], epoch: [0, 0, 1, 1], value: [1.5, 0.6, 0.9, 0.7] },
    labels: {
      split: ["validation", "validation", "validation", "validation"],
      metric: ["loss", "accuracy", "loss", "accuracy"],
    },
  }),
).frame;

describe("the charts of a run", () => {
  const charts = buildCharts({ steps, metrics }, "step", 0);

  it("show what was measured, and only that", () => {
    expect(charts.map((chart) => chart.key)).toEqual(["loss", "accuracy", "learning_rate", "step_time_s"]);
  });

  it("show no loss where none was logged, and a diverged one from its first step on", () => {
    const numbers = { step: [0, 1], epoch: [0, 0], time_s: [0, 1], loss: [NaN, NaN], gradient_norm: [NaN, NaN] };
    const silent = decodeSegment(packRows({ first: 0, next: 2, numbers })).frame;
    expect(buildCharts({ steps: silent, metrics: emptyFrame("metrics") }, "step", 0)).toEqual([]);
    const diverged = decodeSegment(packRows({ first: 0, next: 2, numbers, lost: { loss: [0, 1] } })).frame;
    const [loss] = buildCharts({ steps: diverged, metrics: emptyFrame("metrics") }, "step", 0.5);
    expect(Array.from(loss?.series[0]?.values ?? [])).toEqual([NaN, NaN]);
  });

  it("lay training and validation on one axis", () => {
    const loss = charts[0];
    expect(loss?.x).toEqual([0, 1, 2, 3, 4, 5]);
    expect(loss?.series.map((one) => one.label)).toEqual(["train", "validation"]);
    expect(Array.from(loss?.series[0]?.values ?? [])).toEqual(LOSS);
    expect(Array.from(loss?.series[1]?.values ?? [])).toEqual([undefined, undefined, 1.5, undefined, undefined, 0.9]);
  });

  it("add the raw values behind a smoothed line", () => {
    const [raw, smooth] = buildCharts({ steps, metrics }, "step", 0.5)[0]?.series ?? [];
    expect(raw).toMatchObject({ faint: true, unlisted: true });
    expect(smooth?.label).toBe("train");
  });

  it("offer a logarithmic axis only where every value is positive", () => {
    expect(charts.every((chart) => chart.canLog)).toBe(true);
    const zero = decodeSegment(
      packRows({ first: 0, next: 2, numbers: { step: [0, 1], epoch: [0, 0], time_s: [0, 1], loss: [1, 0] } }),
    ).frame;
    expect(buildCharts({ steps: zero, metrics: emptyFrame("metrics") }, "step", 0)[0]?.canLog).toBe(false);
  });
});

describe("axes", () => {
  it("count completed epochs, with fractions between", () => {
    const place = placer(steps, "epoch");
    expect([0, 1, 2, 3, 5].map((step) => place(step, 0))).toEqual([1 / 3, 2 / 3, 1, 4 / 3, 2]);
    expect(placer(steps, "time")(3, 4.5)).toBe(4.5);
  });

  it("marks what happened", () => {
    const events = decodeSegment(
      packRows({
        table: "events",
        first: 0,
        next: 2,
        numbers: { step: [3, 4], time_s: [4, 5] },
        labels: { kind: ["resumed", "watch_cost"] },
      }),
    ).frame;
    expect(eventMarks({ steps, metrics, events }, "time")).toMatchObject([{ x: 4, label: "Resumed" }]);
  });
});

describe("smoothing", () => {
  it("is the bias-corrected moving average", () => {
    const values = [3, 1, 4, 1, 5, 9];
    const weight = 0.7;
    const expected = values.map((_, end) => {
      const weights = values.slice(0, end + 1).map((__, index) => weight ** (end - index));
      const sum = weights.reduce((total, one) => total + one, 0);
      return weights.reduce((total, one, index) => total + one * (values[index] ?? 0), 0) / sum;
    });
    smoothCurve(values, [0, 1, 2, 3, 4, 5], weight).forEach((value, index) =>
      expect(value).toBeCloseTo(expected[index] ?? NaN, 12),
    );
  });

  it("passes over what is not finite, and says so there", () => {
    const smooth = smoothCurve(LOSS, [0, 1, 2, 3, 4, 5], 0.5);
    expect(smooth[2]).toBeNaN();
    expect(smooth[4]).toBe(Infinity);
    expect(Number.isFinite(smooth[5])).toBe(true);
  });
});
