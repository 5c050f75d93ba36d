import { flushSync, mount, unmount } from "svelte";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { NdArray } from "../../api/payload";
import type { Explanation, StepperValue, TraceStepper as Walk, WhatIf } from "../../api/types";
import { advance, Clock, ease, STOP_TIME } from "../../views/trace_stepper/clock";
import {
  canEdit,
  cellOf,
  indexAt,
  nameEntry,
  numberAt,
  offersOf,
  pictureOf,
  ravel,
  readSelection,
  unravel,
  writeSelection,
} from "../../views/trace_stepper/entries";
import { addTrial, nameRow, outputsOf, plotOf, reachOf, rowFelt } from "../../views/trace_stepper/experiment";
import { fit } from "../../views/trace_stepper/bitmaps";
import { flowOf } from "../../views/trace_stepper/flow";
import { findStops, hitTest, layOut, placeOf, selectionOf, stateAt } from "../../views/trace_stepper/network";
import { LatestOnly, type Question } from "../../views/trace_stepper/questions";
import {
  announceStop,
  clampPosition,
  phaseSpans,
  sayStop,
  sourceOf,
  stopOfModule,
  titleOf,
} from "../../views/trace_stepper/walk";
import TraceStepper from "../../views/TraceStepper.svelte";

function array(data: number[], shape: number[]): NdArray {
  return { data: Float32Array.from(data), shape, dtype: "F32" };
}

function value(id: number, over: Partial<StepperValue>): StepperValue {
  return {
    id,
    name: `step ${id}`,
    kind: "activation",
    module: "",
    shape: [1, 2],
    dtype: "float32",
    producer: -1,
    tensor: null,
    gradient: null,
    update: null,
    reduced: false,
    block: [1, 1],
    entries: null,
    gradient_entries: null,
    update_entries: null,
    minimum: NaN,
    maximum: NaN,
    gradient_norm: NaN,
    update_norm: NaN,
    ...over,
  };
}

/** x (1 × 2) → fc: w x (1 × 2) → loss = their sum; one move of the weight. */
function walk(): Walk {
  const step = {
    phase: "forward" as const,
    op: "linear",
    function: "linear",
    module: "fc",
    call: 0,
    source_file: "/home/ada/net.py",
    source_line: 3,
    source_text: "return self.fc(x)",
    inputs: ["x", "fc.weight"],
    shape: [1, 2],
    dtype: "float32",
    low: 0,
    high: 1,
    gradient_low: 1,
    gradient_high: 1,
    in_place: false,
    opaque: false,
    index: 0,
  };
  return {
    schema: "trace_stepper/1",
    model: "Net",
    subject: "row 1",
    optimizer: "SGD",
    training: true,
    loss: 3,
    steps: [
      step,
      { ...step, index: 1, phase: "loss", op: "sum", module: "", inputs: ["fc"], shape: [], source_file: "" },
    ],
    values: [
      value(0, { name: "x", kind: "input", tensor: array([1, -2], [1, 2]), gradient: array([1, 1], [1, 2]) }),
      value(1, {
        name: "fc.weight",
        kind: "parameter",
        module: "fc",
        shape: [2, 2],
        tensor: array([1, 0, 0, -1], [2, 2]),
        gradient: array([1, -2, 1, -2], [2, 2]),
        update: array([-0.1, 0.2, -0.1, 0.2], [2, 2]),
        minimum: -1,
        maximum: 1,
        gradient_norm: 3.162,
        update_norm: 0.316,
      }),
      value(2, {
        name: "fc",
        producer: 0,
        tensor: array([1, 2], [1, 2]),
        gradient: array([1, 1], [1, 2]),
        minimum: 1,
        maximum: 2,
        gradient_norm: 1.414,
      }),
      value(3, { name: "loss", kind: "loss", shape: [], producer: 1, tensor: array([3], [1, 1]) }),
    ],
    edges: [
      { source: 0, step: 0, target: 2 },
      { source: 1, step: 0, target: 2 },
      { source: 2, step: 1, target: 3 },
    ],
    walk: [
      { phase: "forward", step: 0, value: 2 },
      { phase: "loss", step: 1, value: 3 },
      { phase: "backward", step: 1, value: 3 },
      { phase: "backward", step: 0, value: 2 },
      { phase: "update", step: -1, value: 1 },
    ],
    sources: [{ file: "/home/ada/net.py", first_line: 2, lines: ["def forward(self, x):", "    return self.fc(x)"] }],
    level: "neurons",
    network: [
      {
        module: "fc",
        step: 0,
        weight: 1,
        bias: -1,
        source: 0,
        before: 2,
        after: 2,
        activation: "",
        inputs: 2,
        units: 2,
        shown_inputs: [0, 1],
        shown_units: [0, 1],
        input_values: array([1, -2], [2]),
        input_gradients: array([1, 1], [2]),
        sums: array([1, 2], [2]),
        sum_gradients: array([1, 1], [2]),
        outputs: array([1, 2], [2]),
        output_gradients: array([1, 1], [2]),
        biases: array([0, 0], [2]),
        weights: array([1, 0, 0, -1], [2, 2]),
        weight_gradients: array([1, -2, 1, -2], [2, 2]),
        weight_updates: array([-0.1, 0.2, -0.1, 0.2], [2, 2]),
      },
    ],
    note: "",
  };
}

describe("the walk", () => {
  const result = walk();
  it("is divided into its phases", () => {
    expect(phaseSpans(result.walk).map(({ phase, first, count }) => [phase, first, count])).toEqual([
      ["forward", 0, 1],
      ["loss", 1, 1],
      ["backward", 2, 2],
      ["update", 4, 1],
    ]);
  });
  it("says what happens at each stop", () => {
    expect(result.walk.map((stop) => titleOf(result, stop))).toEqual([
      "linear in fc",
      "sum",
      "sum",
      "linear in fc",
      "fc.weight",
    ]);
    expect(sayStop(result, result.walk[1]!)).toContain("the loss is 3");
    expect(sayStop(result, result.walk[2]!)).toContain("No gradient reaches sum");
    expect(sayStop(result, result.walk[4]!)).toContain("SGD moves fc.weight (2 × 2)");
    expect(announceStop(result, 3)).toMatch(/^Backward, stop 4 of 5: linear in fc\./);
  });
  it("jumps to a module in the phase that is shown", () => {
    expect(stopOfModule(result, "fc", "forward")).toBe(0);
    expect(stopOfModule(result, "fc", "backward")).toBe(3);
    expect(stopOfModule(result, "fc", "update")).toBe(4);
    expect(stopOfModule(result, "none", "update")).toBe(-1);
  });
  it("keeps to stops that exist", () => {
    expect([-1, 0.6, 99, NaN].map((position) => clampPosition(position, 5))).toEqual([0, 1, 4, 0]);
  });
  it("shows a step's line between as many neighbours, known or not", () => {
    const source = sourceOf(result, result.steps[0])!;
    expect(source.lines.map((line) => line.number)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(source.lines[3]!.text).toBe("    return self.fc(x)");
    expect(sourceOf(result, result.steps[1])).toBeNull();
  });
});

describe("entries", () => {
  const result = walk();
  it("go from flat positions to indices and back as NumPy counts", () => {
    expect(unravel(23, [2, 3, 4])).toEqual([1, 2, 3]); // np.unravel_index(23, (2, 3, 4))
    expect(ravel([1, 0, 2], [2, 3, 4])).toBe(14); // np.ravel_multi_index((1, 0, 2), (2, 3, 4))
    for (let flat = 0; flat < 24; flat++) expect(ravel(unravel(flat, [2, 3, 4]), [2, 3, 4])).toBe(flat);
    expect(unravel(0, [])).toEqual([]);
  });
  it("of a reduced picture are those that its cells show", () => {
    const entries = { data: Int32Array.from([5, 17]), shape: [1, 2], dtype: "I32" };
    const large = value(9, { shape: [4, 6], tensor: array([3, -4], [1, 2]), entries, reduced: true });
    const picture = pictureOf(large, "value")!;
    expect(indexAt(picture, { row: 0, column: 1 })).toEqual([2, 5]);
    expect(cellOf(picture, [2, 5])).toEqual({ row: 0, column: 1 });
    expect(cellOf(picture, [0, 0])).toBeNull();
    expect(numberAt(large, "value", [2, 5])).toBe(-4);
    expect(numberAt(large, "value", [0, 0])).toBeNull();
  });
  it("are written into an address and read back, and nonsense is not", () => {
    const selection = { kind: "gradient", value: 1, index: [1, 0] } as const;
    expect(writeSelection(selection)).toBe("gradient:1:1,0");
    expect(readSelection("gradient:1:1,0", result)).toEqual(selection);
    expect(readSelection("value:3:", result)).toEqual({ kind: "value", value: 3, index: [] });
    for (const text of ["", "value:1:2,0", "value:9:0", "value:1:0", "other:1:0,0", "value:1:0,"])
      expect(readSelection(text, result)).toBeNull();
  });
  it("are named as a person would type them", () => {
    expect(nameEntry("fc.weight", [3, 7], "gradient")).toBe("∂loss/∂fc.weight[3, 7]");
    expect(nameEntry("loss", [])).toBe("loss");
  });
  it("worth a look are the largest of the stop", () => {
    expect(offersOf(result, result.walk[0]!).map(writeSelection)).toEqual(["value:2:0,1", "value:1:0,0"]);
    expect(offersOf(result, result.walk[4]!).map(writeSelection)).toEqual(["update:1:0,1"]);
  });
  it("can be edited if they are numbers that the loss follows from", () => {
    expect(result.values.map(canEdit)).toEqual([true, true, true, false]);
    expect(canEdit(value(4, { kind: "input", dtype: "int64" }))).toBe(false);
  });
});

describe("a stop in large", () => {
  const result = walk();
  it("has what is read on the left and what is made on the right", () => {
    const flow = flowOf(result, result.walk[0]!);
    expect(flow.left.map((picture) => picture.value.name)).toEqual(["x", "fc.weight"]);
    expect(flow.right?.value.name).toBe("fc");
    expect(flow.backward).toBe(false);
  });
  it("flows back with the width of each gradient", () => {
    const flow = flowOf(result, result.walk[3]!);
    expect(flow.left.map((picture) => picture.kind)).toEqual(["gradient", "gradient"]);
    expect(flow.weights).toEqual([0, 1]); // the norm of x's gradient was not measured
  });
  it("says why there is nothing to see", () => {
    expect(flowOf(result, result.walk[2]!).missing).toContain("No gradient");
  });
  it("fits a picture into its room with square cells where it can", () => {
    expect(fit({ rows: 2, columns: 4 }, { width: 400, height: 100 }, 30)).toEqual({ width: 120, height: 60 });
    expect(fit({ rows: 64, columns: 64 }, { width: 640, height: 320 })).toEqual({ width: 640, height: 320 });
    expect(fit({ rows: 0, columns: 4 }, { width: 400, height: 100 })).toEqual({ width: 0, height: 0 });
  });
});

describe("the network", () => {
  const result = walk();
  const drawing = layOut(result, 800, 400);
  it("has a column for the input, each layer and the loss, inside its box", () => {
    expect(drawing.columns.map((column) => column.neurons.length)).toEqual([2, 2]);
    expect(drawing.loss).not.toBeNull();
    for (const { x, y } of drawing.columns.flatMap((column) => column.neurons)) {
      expect(x).toBeGreaterThan(0);
      expect(x).toBeLessThan(800);
      expect(y).toBeGreaterThan(0);
      expect(y).toBeLessThan(400);
    }
  });
  it("finds the neuron, the edge and the loss under the pointer", () => {
    const [first, second] = drawing.columns;
    const at = first!.neurons[1]!;
    expect(hitTest(drawing, result.network, at.x + 2, at.y)).toEqual({ neuron: at });
    const to = second!.neurons[1]!;
    const middle = hitTest(drawing, result.network, (at.x + to.x) / 2, (at.y + to.y) / 2);
    expect(middle).toEqual({ edge: { layer: 0, from: 1, to: 1 } });
    expect(hitTest(drawing, result.network, drawing.loss!.x, drawing.loss!.y)).toEqual({ loss: true });
    expect(hitTest(drawing, result.network, 5, 5)).toBeNull();
  });
  it("opens what is shown: values forwards, gradients backwards, moves in the update", () => {
    const edge = { edge: { layer: 0, from: 0, to: 1 } };
    const open = (phase: "forward" | "backward" | "update") => writeSelection(selectionOf(result, phase, edge)!);
    expect([open("forward"), open("backward"), open("update")]).toEqual([
      "value:1:1,0",
      "gradient:1:1,0",
      "update:1:1,0",
    ]);
    expect(placeOf(result, selectionOf(result, "forward", edge))).toEqual(edge);
    const neuron = { neuron: drawing.columns[1]!.neurons[1]! };
    expect(writeSelection(selectionOf(result, "forward", neuron)!)).toBe("value:2:0,1");
  });
  it("is revealed as the walk goes on", () => {
    const stops = findStops(result);
    expect(stateAt(stops, "forward", { position: 0, share: 0.5 }).layers[0]).toMatchObject({
      sums: 0.5,
      edgeGradient: 0,
    });
    expect(stateAt(stops, "backward", { position: 3, share: 0.25 })).toMatchObject({
      loss: 1,
      layers: [{ sums: 1, outputs: 1, edgeGradient: 0.25, weightUpdate: 0 }],
    });
    expect(stateAt(stops, "update", { position: 4, share: 1 }).layers[0]!.weightUpdate).toBe(1);
  });
});

describe("the clock", () => {
  it("takes the same time for each stop and rests at the end", () => {
    expect(advance({ position: 0, share: 0 }, STOP_TIME / 2, 1, 5)).toEqual({ position: 0, share: 0.5 });
    expect(advance({ position: 0, share: 0.5 }, STOP_TIME, 2, 5)).toEqual({ position: 2, share: 0.5 });
    expect(advance({ position: 3, share: 0.5 }, 10 * STOP_TIME, 1, 5)).toEqual({ position: 4, share: 1 });
    expect(advance({ position: 0, share: 0 }, -5, 1, 5)).toEqual({ position: 0, share: 0 });
    expect([ease(-1), ease(0), ease(0.5), ease(1), ease(2)]).toEqual([0, 0, 0.5, 1, 1]);
  });
  it("shows whole stops to those who want no movement", () => {
    const clock = new Clock();
    const seen: number[] = [];
    clock.still = true;
    clock.moment = { position: 2, share: 0.3 };
    clock.paint(({ share }) => seen.push(share));
    expect(seen).toEqual([1]);
    clock.stop();
  });
});

describe("questions", () => {
  it("are asked one at a time, of those waiting only the latest", async () => {
    const asked: number[] = [];
    const got: number[] = [];
    const release: (() => void)[] = [];
    const asker = new LatestOnly<number, number>(
      (question) => {
        asked.push(question);
        return new Promise((answer) => release.push(() => answer(question * 10)));
      },
      (answer) => got.push(answer),
      () => {},
    );
    for (const question of [1, 2, 3]) asker.put(question);
    expect(asked).toEqual([1]);
    release[0]!();
    await vi.waitFor(() => expect(asked).toEqual([1, 3]));
    asker.forget();
    release[1]!();
    asker.put(4);
    await vi.waitFor(() => expect(asked).toEqual([1, 3, 4]));
    release[2]!();
    await vi.waitFor(() => expect(got).toEqual([10, 40]));
  });
});

describe("an experiment", () => {
  it("reaches far enough to matter", () => {
    expect(reachOf(0.3, 0.1)).toBe(1);
    expect(reachOf(0, 4)).toBe(5);
    expect(reachOf(0, 0)).toBe(1);
    expect(reachOf(NaN, NaN)).toBe(1);
  });
  it("keeps one trial a value, in order", () => {
    const answer = (after: number, loss_after: number) => ({ after, loss_after }) as WhatIf;
    const trials = [answer(2, 5), answer(1, 4), answer(2, 6), answer(3, NaN)].reduce(addTrial, [] as never[]);
    expect(trials).toEqual([
      { value: 1, loss: 4 },
      { value: 2, loss: 6 },
    ]);
  });
  it("shows the example that feels the change most", () => {
    const answer = {
      output_name: "output",
      output_before: array([1, 2, 3, 4, 5, 6], [6]),
      output_after: array([1, 2, 3, 4.5, 4, 6], [6]),
      output_shape: [2, 3],
    } as unknown as WhatIf;
    expect(rowFelt(answer)).toBe(1);
    expect(outputsOf(answer, 1)).toEqual([
      { place: 0, was: 4, now: 4.5 },
      { place: 1, was: 5, now: 4 },
      { place: 2, was: 6, now: 6 },
    ]);
    expect(nameRow(answer, 1)).toBe("output[1, …]");
    expect(rowFelt({ ...answer, output_after: answer.output_before })).toBe(-1);
    const single = { ...answer, output_shape: [6, 1] };
    expect(outputsOf(single, rowFelt(single))).toHaveLength(6);
    expect(nameRow(single, 0)).toBe("output");
  });
  it("draws larger losses higher", () => {
    const plot = plotOf(-1, 1, [{ value: 0, loss: 2 }, { value: 1, loss: 3 }], 0, NaN); // prettier-ignore
    expect(plot.x(0)).toBe(50);
    expect(plot.y(3)).toBeLessThan(plot.y(2));
    expect(plot.y(3)).toBeGreaterThan(0);
  });
});

describe("TraceStepper", () => {
  let mounted: Record<string, unknown> | null = null;
  afterEach(async () => {
    if (mounted) await unmount(mounted);
    mounted = null;
  });
  function show(props: Record<string, unknown>): HTMLElement {
    document.body.replaceChildren();
    mounted = mount(TraceStepper, { target: document.body, props: { result: walk(), ...props } });
    flushSync();
    return document.body;
  }
  const title = (page: HTMLElement) => page.querySelector("h3")!.textContent;
  function press(page: HTMLElement, key: string): void {
    page.querySelector(".stepper")!.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    flushSync();
  }

  it("walks by keyboard and says where it is", () => {
    const page = show({});
    expect(title(page)).toBe("linear in fc");
    press(page, "ArrowRight");
    expect(title(page)).toBe("sum");
    expect(page.querySelector("[role=status]")!.textContent).toContain("Loss, stop 2 of 5");
    press(page, "End");
    expect(title(page)).toBe("fc.weight");
    press(page, "ArrowRight");
    expect(title(page)).toBe("fc.weight");
    press(page, "Home");
    expect(title(page)).toBe("linear in fc");
    press(page, " ");
    expect(page.querySelector("button.play")!.getAttribute("aria-label")).toBe("Pause");
    press(page, " ");
    expect(page.querySelector("button.play")!.getAttribute("aria-label")).toBe("Play");
  });
  it("without anybody to ask shows the numbers and says what is missing", () => {
    const page = show({ selected: "gradient:1:0,1" });
    expect(page.textContent).toContain("not the trace behind them");
    expect(page.textContent).toContain('trace.gradient("fc.weight", (0, 1)).explain()');
    expect(page.textContent).not.toContain("Check every number");
    expect([...page.querySelectorAll(".numbers dd")].map((cell) => cell.textContent)).toEqual(["0", "−2", "0.2"]);
  });
  it("asks for the entry, and for what would be if it were another number", async () => {
    const questions: Question[] = [];
    const explained = {
      title: "why",
      symbol: "w",
      value: 1,
      equations: [],
      notes: [],
      walk_on: [],
      verified: "",
      source_text: "",
    };
    const ask = (question: Question) => {
      questions.push(question);
      if (question.ask !== "what_if") return Promise.resolve(explained as unknown as Explanation);
      const output = array([1], [1]);
      return Promise.resolve({
        name: "fc.weight",
        index: [0, 0],
        before: 1,
        after: question.value,
        loss_before: 3,
        loss_after: 3 + question.value,
        slope: 1,
        predicted_loss: 3,
        output_name: "y",
        output_before: output,
        output_after: output,
        output_shape: [1],
        changed_outputs: 0,
        note: "",
      } as unknown as WhatIf);
    };
    const page = show({ selected: "value:1:0,0", ask });
    await vi.waitFor(() => expect(page.textContent).toContain("why"));
    expect(questions.map((question) => question.ask).sort()).toEqual(["value", "what_if"]);
    const handle = page.querySelector<HTMLElement>(".handle")!;
    handle.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", shiftKey: true, bubbles: true }));
    await vi.waitFor(() => expect(questions).toHaveLength(3));
    expect(questions[2]).toMatchObject({ ask: "what_if", name: "fc.weight", index: [0, 0] });
    expect((questions[2] as { value: number }).value).toBeGreaterThan(1);
    expect(title(page)).toBe("linear in fc");
  });
  it("says so when the trace is empty", () => {
    const page = show({ result: { ...walk(), walk: [], note: "the model raised" } });
    expect(page.textContent).toContain("the model raised");
  });
});
