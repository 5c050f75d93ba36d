import { flushSync, mount, unmount } from "svelte";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { GeometryHistory as History } from "../../api/types";
import { layersOver, linesOf, meanOf, UNTRAINED } from "../../views/geometry_history/lines";
import GeometryHistory from "../../views/GeometryHistory.svelte";

/** There is no canvas to draw a chart on here. */
vi.mock("uplot", () => ({
  default: class {
    data = [];
    static paths = { stepped: () => null, linear: () => null, bars: () => null, points: () => null };
    static sync = () => ({ key: "" });
    setData(): void {}
    setCursor(): void {}
    setSize(): void {}
    redraw(): void {}
    destroy(): void {}
  },
}));

type Series = History["series"][number];
type Run = History["runs"][number];
const numbers = (values: readonly number[]) => ({ data: Float64Array.from(values), shape: [values.length] });

function series(
  split: string,
  lens: string,
  quantity: string,
  points: Readonly<Record<number, number>>,
  more: { readonly layer?: string; readonly zero?: readonly number[]; readonly last?: readonly number[] } = {},
): Series {
  const values = Object.values(points);
  return {
    split,
    lens,
    layer: more.layer ?? "",
    quantity,
    label: `${quantity} in words`,
    epochs: numbers(Object.keys(points).map(Number)),
    values: numbers(values),
    low: numbers(values.map((value) => (more.zero ? value - 1 : NaN))),
    high: numbers(values.map((value) => (more.zero ? value + 1 : NaN))),
    at_zero: numbers(more.zero ?? [points[2] ?? NaN]),
    final: numbers(more.last ?? [points[4] ?? NaN]),
  } as unknown as Series;
}
const run: Run = {
  run: "one",
  seed: 0,
  last: 4,
  first_zero: 1,
  zero_error: 2,
  at_zero: 2,
  best: 3,
  best_split: "validation",
  flipped: 0,
};
const history = (changes: Partial<History> = {}): History =>
  ({
    schema: "geometry_history/1",
    runs: [run],
    held_out: "test",
    lenses: ["collapse", "layers"],
    layers: ["fc1", "fc2"],
    series: [
      series("train", "errors", "error", { 0: 0.9, 1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0 }),
      series("test", "errors", "error", { 0: 0.9, 1: 0.5, 2: 0.25, 4: 0.125 }),
      series("", "weights", "distance", { 0: 0, 1: 1, 2: 2, 3: 3, 4: 3 }),
      series("train", "collapse", "nc1", { 0: 2, 1: 1, 2: 0.5, 4: 0.25 }),
      series("test", "collapse", "nc1", { 0: 2, 1: 1.5, 2: 1, 4: 0.75 }),
      series("train", "layers", "separation", { 0: 8, 1: 8, 2: 8, 4: 8 }, { layer: "fc1" }),
      series("train", "layers", "separation", { 0: 8, 1: 4, 2: 2, 4: 1 }, { layer: "fc2" }),
    ],
    ...changes,
  }) as History;

describe("the lines of a chart", () => {
  it("stand over all epochs of theirs, the untrained network at half an epoch", () => {
    const found = linesOf(history(), "errors", ["error"]);
    expect(found.x).toEqual([UNTRAINED, 1, 2, 3, 4]);
    expect(found.series.map((one) => one.label)).toEqual(["train", "test"]);
    expect(found.series[1]?.values[3]).toBeUndefined(); // not measured there: the line goes on
    expect(found.series[1]?.values[4]).toBe(0.125);
    expect(found.bands).toEqual([]);
  });

  it("leave a range around what a logarithm can draw", () => {
    const range = linesOf(history(), "collapse", ["nc1"]).range!;
    expect(range[0]).toBeLessThan(0.25);
    expect(range[1]).toBeGreaterThan(2);
    expect(linesOf(history(), "collapse", ["nc7"]).range).toBeUndefined();
  });

  it("have bands over several runs", () => {
    const several = history({
      series: [series("train", "collapse", "nc1", { 0: 2, 4: 0.5 }, { zero: [1, 2, NaN], last: [0.5, 2.5, 0.5] })],
    });
    expect(linesOf(several, "collapse", ["nc1"]).bands[0]).toMatchObject({ low: [1, -0.5], high: [3, 1.5] });
    expect(meanOf(several.series[0]!.at_zero)).toBe(1.5);
  });

  it("put layers over epochs, row by row, and nothing where one is missing", () => {
    expect(layersOver(history(), "train", "separation")).toEqual({
      epochs: [0, 1, 2, 4],
      values: [8, 8, 8, 8, 8, 4, 2, 1],
      label: "separation in words",
    });
    expect(layersOver(history(), "test", "separation").values).toEqual([]);
  });
});

describe("the collapse page", () => {
  let mounted: Record<string, unknown> | null = null;
  function show(result: History, lens = ""): string {
    document.body.replaceChildren();
    mounted = mount(GeometryHistory, { target: document.body, props: { result, lens } });
    flushSync();
    return document.body.textContent!.replaceAll(/\s+/g, " ");
  }
  afterEach(async () => {
    if (mounted) await unmount(mounted);
    mounted = null;
  });

  it("says where the terminal phase begins and what it did", () => {
    const text = show(history());
    expect(text).toContain("epoch 2");
    expect(text).toContain("first 0 after epoch 1");
    expect(text).toContain("2 epochs"); // from 2 to 4
    expect(text).toContain("87.5"); // accuracy at the end
    expect(text).toContain("lowest validation loss");
    const row = [...document.querySelectorAll("tbody tr")].find((one) => one.textContent!.includes("nc1 in words"));
    const cells = [...row!.querySelectorAll("td, th")].map((cell) => cell.textContent!.trim());
    expect(cells).toEqual(["nc1 in words", "0.5", "0.25", "fell", "1", "0.75", "fell"]);
    expect(document.querySelector("[role=slider]")?.getAttribute("aria-label")).toContain("0 from epoch 2");
  });

  it("shows layers by epochs and the errors with the weights", () => {
    show(history(), "layers");
    expect(document.querySelector('[aria-label*="2 layers over 4 epochs"]')).not.toBeNull();
    expect(show(history(), "errors")).toContain("distance in words");
  });

  it("says so where the error never stays 0", () => {
    const text = show(history({ runs: [{ ...run, zero_error: -1, at_zero: -1 }] }));
    expect(text).toContain("0 after epoch 1, but not to stay");
    expect(text).not.toContain("Shaded");
    expect(show(history({ runs: [{ ...run, first_zero: -1, zero_error: -1 }] }))).toContain("it never came to 0");
  });

  it("counts the runs in which a quantity moved", () => {
    const result = history({
      runs: [run, { ...run, seed: 1, zero_error: 3 }],
      series: [series("train", "collapse", "nc1", { 0: 2, 4: 0.5 }, { zero: [1, 0.2], last: [0.5, 0.3] })],
    });
    const text = show(result);
    expect(text).toContain("in 1 of 2");
    expect(text).toContain("means over 2 runs");
    expect(text).toContain("epoch 3");
  });
});
