import { flushSync, mount, unmount, type Component } from "svelte";
import { afterEach, describe, expect, it } from "vitest";
import { emptyFrame, type Frame } from "../../api/frames";
import type { CrossValidation as Folds, NetworkOutline as Outline } from "../../api/types";
import CrossValidation from "../../views/CrossValidation.svelte";
import Events from "../../views/Events.svelte";
import NetworkOutline from "../../views/NetworkOutline.svelte";

const numbers = (data: number[]) => ({ kind: "numbers", data: Float64Array.from(data), width: 1 }) as const;
const texts = (values: string[]) =>
  ({ kind: "labels", codes: Int16Array.from(values, (_, i) => i), labels: values }) as const;
let mounted: Record<string, unknown> | null = null;

function show<Props extends Record<string, unknown>>(view: Component<Props>, props: Props): HTMLElement {
  document.body.replaceChildren();
  mounted = mount(view, { target: document.body, props });
  flushSync();
  return document.body;
}

afterEach(async () => {
  if (mounted) await unmount(mounted);
  mounted = null;
});

function outline(names: string[]): Outline {
  const layers = names.map((name) => ({
    name,
    kind: "Linear",
    description: "",
    input_shape: [4],
    output_shape: [4],
    parameters: 20,
    trainable_parameters: 20,
    calls: 1,
  }));
  const edges = names.map((_, i): [number, number] => [i - 1, i]);
  return {
    schema: "network_outline/1",
    model: "Net",
    layers,
    edges,
    parameters: 60,
    trainable_parameters: 60,
    parameter_bytes: 240,
  };
}

describe("NetworkOutline", () => {
  const health: Frame = {
    table: "layers",
    rows: 2,
    sampled: false,
    columns: {
      step: numbers([5, 5]),
      layer: texts(["a", "b"]),
      activation_mean: numbers([0, 0]),
      activation_std: numbers([1, 1]),
      activation_min: numbers([-1, 0]),
      activation_max: numbers([1, 0]),
      activation_zero: numbers([0, 1]),
      dead_units: numbers([0, 0.9]),
      gradient_norm: numbers([1, 0]),
      weight_norm: numbers([1, 1]),
      update_ratio: numbers([1e-3, 0]),
    },
  };

  it("says each layer's state in words and selects by click", () => {
    let chosen = "";
    const page = show(NetworkOutline, {
      result: outline(["a", "b", "c"]),
      health,
      onselect: (layer: string) => (chosen = layer),
    });
    const boxes = [...page.querySelectorAll<HTMLButtonElement>("button.box")];
    expect(boxes.map((box) => /(ok|trouble|no data)/.exec(box.getAttribute("aria-label")!)?.[1])).toEqual([
      "ok",
      "trouble",
      "no data",
    ]);
    expect(boxes.filter((box) => box.tabIndex === 0)).toHaveLength(1);
    boxes[1]!.click();
    flushSync();
    expect(chosen).toBe("b");
    expect(page.querySelector('button.box[aria-pressed="true"]')?.getAttribute("aria-label")).toMatch(/^b,/);
  });

  it("starts folded for thousands of layers, and a folded group opens", () => {
    const names = Array.from({ length: 2400 }, (_, i) => `blocks.${Math.floor(i / 3)}.part${i % 3}`);
    const page = show(NetworkOutline, { result: outline([...names, "head"]), health: emptyFrame("layers") });
    const group = page.querySelector<HTMLButtonElement>('button.box[aria-expanded="false"]');
    expect(page.querySelectorAll("button.box").length).toBeLessThan(49);
    group!.click();
    flushSync();
    expect(page.querySelectorAll("button.box").length).toBeLessThan(60);
    expect(page.querySelector(".bracket")).not.toBeNull();
  });

  it("shows a network without layers", () => {
    expect(show(NetworkOutline, { result: outline([]), health: emptyFrame("layers") }).textContent).toContain(
      "no layers",
    );
  });
});

describe("CrossValidation", () => {
  it("draws a dot a fold and says their values", () => {
    const array = (data: number[]) => ({ data: Float64Array.from(data), shape: [data.length], dtype: "F64" });
    const result: Folds = {
      schema: "cross_validation/1",
      folds: 3,
      method: "3-fold",
      values: { accuracy: array([0.9, 0.95, 0.92]) },
      mean: { accuracy: 0.9233 },
      std: { accuracy: 0.0252 },
      sizes: array([10, 10, 10]),
    };
    const page = show(CrossValidation, { result });
    expect(page.querySelectorAll("circle")).toHaveLength(3);
    expect(page.querySelector("svg[role=img]")?.getAttribute("aria-label")).toContain("90.00 %, 95.00 %, 92.00 %");
  });
});

describe("Events", () => {
  it("lists what happened, and says so when nothing did", () => {
    const events: Frame = {
      table: "events",
      rows: 2,
      sampled: false,
      columns: {
        step: numbers([0, 40]),
        time_s: numbers([0, 3.25]),
        kind: texts(["started", "finished"]),
        message: texts(["on cpu", "done"]),
      },
    };
    expect(
      [...show(Events, { events }).querySelectorAll("li")].map((item) =>
        item.textContent?.replaceAll(/\s+/g, " ").trim(),
      ),
    ).toEqual(["0 s step 0 Started on cpu", "3.3 s step 40 Finished done"]);
    expect(show(Events, { events: emptyFrame("events") }).textContent).toContain("Nothing has happened yet");
  });
});
