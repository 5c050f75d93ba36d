import { describe, expect, it } from "vitest";
import { decodeSegment, emptyFrame } from "../../api/frames";
import { headlines, progressOf, stepsDone, watchLine } from "../../hosts/headline";
import { packRows } from "../api/pack";

function steps(count: number, perEpoch: number, secondsEach: number) {
  const step = Array.from({ length: count }, (_, index) => index);
  const numbers = {
    step,
    epoch: step.map((one) => Math.floor(one / perEpoch)),
    time_s: step.map((one) => (one + 1) * secondsEach),
  };
  return decodeSegment(packRows({ first: 0, next: count, numbers })).frame;
}
const running = { status: "running" as const, epochs_planned: 10 };

describe("how far a run has come", () => {
  it("counts whole epochs and the part of the present one", () => {
    const { fraction, remainingS, elapsedS } = progressOf({ ...running, epoch: 2 }, steps(250, 100, 0.1));
    expect(fraction).toBeCloseTo(0.25);
    expect(elapsedS).toBeCloseTo(25);
    expect(remainingS).toBeCloseTo(75);
  });

  it("knows nothing within the first epoch", () => {
    expect(progressOf({ ...running, epoch: 0 }, steps(30, 100, 0.1))).toMatchObject({ fraction: 0, remainingS: null });
  });

  it("is done when the run is, however many epochs were planned", () => {
    expect(progressOf({ status: "finished", epoch: 4, epochs_planned: 10 }, steps(400, 100, 0.1)).fraction).toBe(1);
  });

  it("has no share where no number of epochs is planned", () => {
    expect(progressOf({ ...running, epochs_planned: null, epoch: 3 }, emptyFrame("steps")).fraction).toBeNull();
  });
});

describe("what was done and watched", () => {
  const table = (name: string, numbers: Record<string, number[]>, labels: Record<string, string[]>) =>
    decodeSegment(packRows({ table: name, first: 0, next: 4, numbers, labels })).frame;

  it("counts the steps of a run that came to no end by its rows", () => {
    expect(stepsDone({ step: 0 }, steps(20, 100, 0.1))).toBe(20);
    expect(stepsDone({ step: 600 }, emptyFrame("steps"))).toBe(600);
  });

  it("tells the cost at the end, and the coverage until then", () => {
    const layers = table("layers", { step: [0, 0, 5, 5] }, { layer: ["a", "b", "a", "b"] });
    expect(watchLine(steps(20, 100, 0.1), layers, emptyFrame("events"), true)).toBe(
      "Layers sampled at 2 of 20 steps so far",
    );
    const events = table(
      "events",
      { step: [3] },
      { kind: ["watch_cost"], message: ["the watch took 1 s (2%; 0 s idle); more"] },
    );
    const cost = "The watch took 1 s (2 %; 0 s idle)";
    expect(watchLine(steps(20, 100, 0.1), layers, events, false)).toBe(`${cost}; layers sampled at 2 of 20 steps`);
    expect(watchLine(steps(20, 100, 0.1), emptyFrame("layers"), events, false)).toBe(cost);
    expect(watchLine(steps(20, 100, 0.1), emptyFrame("layers"), emptyFrame("events"), true)).toBe("");
  });
});

describe("headline figures", () => {
  it("say held-out measures first and leave refinements out", () => {
    const found = headlines({ train_loss: 0.1, test_macro_f1: 0.9, validation_accuracy: 0.8, test_accuracy: 0.7 });
    expect(found.map((one) => one.name)).toEqual(["test_accuracy", "validation_accuracy", "train_loss"]);
    expect(found[0]).toMatchObject({ label: "Test accuracy", value: "70.00 %" });
  });

  it("say what a person logged where there is nothing else", () => {
    expect(headlines({ perplexity: 12.5, odd: null }).map((one) => one.value)).toEqual(["12.5", "–"]);
  });
});
