import { describe, expect, it } from "vitest";
import { decodeSegment, emptyFrame } from "../../api/frames";
import type { RunDetail } from "../../api/types";
import {
  compareCurves,
  comparedMetrics,
  curveChoices,
  differingSettings,
  distinctNames,
  type ComparedRun,
} from "../../views/run_comparison/compare";
import { packRows } from "../api/pack";

function run(id: string, name: string, more: Partial<RunDetail>, losses: number[]): ComparedRun {
  const step = losses.map((_, index) => index * 10);
  const metrics = decodeSegment(
    packRows({
      table: "metrics",
      first: 0,
      next: losses.length,
      numbers: { step, time_s: step, epoch: step, value: losses },
      labels: { split: losses.map(() => "validation"), metric: losses.map(() => "loss") },
    }),
  ).frame;
  const blank = {
    id,
    name,
    source: "a.csv",
    model: "MLP",
    seed: 0,
    device: "cpu",
    version: "1",
    metrics: {},
    settings: {},
  };
  return { detail: { ...blank, ...more } as RunDetail, steps: emptyFrame("steps"), metrics };
}

const first = run(
  "1",
  "small",
  {
    metrics: { test_accuracy: 0.9, test_log_loss: 0.4 },
    settings: { epochs: 5, optimizer: { name: "sgd", momentum: 0.9 } },
  },
  [3, 2],
);
const second = run(
  "2",
  "large",
  { metrics: { test_accuracy: 0.8, test_log_loss: 0.3 }, settings: { epochs: 5, optimizer: { name: "adam" } } },
  [4, 1, 0.5],
);

describe("what curves can be compared", () => {
  it("begins with what most runs recorded", () => {
    const steps = decodeSegment(packRows({ first: 0, next: 2, numbers: { step: [0, 1], loss: [2, 1] } })).frame;
    const watched = { ...run("3", "watched", {}, []), steps };
    const fitted = { ...first, steps };
    const values = (runs: ComparedRun[]) => curveChoices(runs).map(({ value }) => value);
    expect(values([fitted, watched])).toEqual(["loss", "validation/loss"]);
    expect(values([fitted, second])).toEqual(["validation/loss", "loss"]);
  });
});

describe("comparing runs", () => {
  it("lays curves over one another", () => {
    expect(curveChoices([first, second])).toEqual([{ value: "validation/loss", label: "Validation loss" }]);
    const chart = compareCurves([first, second], "validation/loss", "step", 0);
    expect(chart.x).toEqual([0, 10, 20]);
    expect(chart.series.map((one) => [one.label, Array.from(one.values)])).toEqual([
      ["small", [3, 2, undefined]],
      ["large", [4, 1, 0.5]],
    ]);
    expect(new Set(chart.series.map((one) => one.color)).size).toBe(2);
  });

  it("names only the settings that differ", () => {
    expect(differingSettings([first, second]).map(({ name, values }) => [name, ...values])).toEqual([
      ["optimizer.name", "sgd", "adam"],
      ["optimizer.momentum", "0.9", ""],
    ]);
  });

  it("knows which way is better", () => {
    const best = Object.fromEntries(comparedMetrics([first, second]).map((row) => [row.name, row.best]));
    expect(best).toEqual({ test_accuracy: [0], test_log_loss: [1] });
  });

  it("tells runs of the same name apart", () => {
    expect(distinctNames([first, run("3", "small", {}, [])])).toEqual(["small (1)", "small (3)"]);
  });
});
