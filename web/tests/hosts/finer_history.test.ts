import { describe, expect, it } from "vitest";
import { label, numbers, type Frame } from "../../api/frames";
import { continued } from "../../hosts/finer_history";

function frame(rows: readonly (readonly [number, string, number])[], labels: readonly string[]): Frame {
  return {
    table: "layers",
    rows: rows.length,
    sampled: true,
    columns: {
      step: { kind: "numbers", data: Float64Array.from(rows, ([step]) => step), width: 1 },
      layer: { kind: "labels", codes: Int32Array.from(rows, ([, name]) => labels.indexOf(name)), labels },
      weight_norm: { kind: "numbers", data: Float32Array.from(rows, ([, , value]) => value), width: 1 },
    },
  };
}

describe("a layer's finer history", () => {
  const finer = frame(
    [0, 5, 10].map((step) => [step, "b", step / 2]),
    ["b"],
  );

  it("goes on with the layer's own later rows", () => {
    const all = frame([[0, "a", 1], [0, "b", 9], [20, "b", 7], [20, "a", 8], [30, "b", NaN]], ["a", "b"]); // prettier-ignore
    const found = continued(finer, all, "b");
    expect(Array.from(numbers(found, "step"))).toEqual([0, 5, 10, 20, 30]);
    expect(Array.from(numbers(found, "weight_norm"))).toEqual([0, 2.5, 5, 7, NaN]);
    expect([0, 3, 4].map((row) => label(found, "layer", row))).toEqual(["b", "b", "b"]);
    expect(found.sampled).toBe(true);
  });

  it("is left as it is while nothing was added", () => {
    expect(continued(finer, frame([[10, "b", 5]], ["b"]), "b")).toBe(finer);
    expect(continued(finer, frame([], []), "b")).toBe(finer);
  });
});
