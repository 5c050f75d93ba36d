import { describe, expect, it } from "vitest";
import { decodeSegment, distinct, figures, label, numbers, take, where } from "../../api/frames";
import { TableStore } from "../../api/table_store";
import { packRows, type Rows } from "./pack";

const segment = (rows: Rows) => decodeSegment(packRows(rows));
const steps = (first: number, values: number[]) =>
  segment({ first, next: first + values.length, numbers: { step: values, loss: values.map((value) => value / 10) } });

describe("a table that grows", () => {
  it("appends what goes on where it stands, over many segments", () => {
    const store = new TableStore("steps");
    expect(store.merge(steps(0, [0, 1, 2]))).toBe("replaced");
    for (let first = 3; first < 2000; first += 7) {
      const values = Array.from({ length: 7 }, (_, index) => first + index);
      expect(store.merge(steps(first, values))).toBe("appended");
    }
    const all = [...numbers(store.frame, "step")];
    expect(all).toEqual(Array.from({ length: store.nextRow }, (_, index) => index));
    expect(store.frame.rows).toBe(store.nextRow);
  });

  it("never changes a frame that was given out", () => {
    const store = new TableStore("steps");
    store.merge(steps(0, [0, 1]));
    const before = store.frame;
    store.merge(steps(2, [2, 3, 4]));
    expect([...numbers(before, "step")]).toEqual([0, 1]);
    expect(before.rows).toBe(2);
  });

  it("tells a NaN that was measured from a figure that is missing, whichever segment it comes with", () => {
    const store = new TableStore("steps");
    const rows = (first: number, loss: number[], lost?: number[]) =>
      segment({ first, next: first + loss.length, numbers: { loss }, ...(lost ? { lost: { loss: lost } } : {}) });
    store.merge(rows(0, [1, NaN]));
    const before = store.frame;
    store.merge(rows(2, [NaN, NaN, 3], [1]));
    store.merge(rows(5, [NaN]));
    expect(figures(before, "loss")).toEqual([1, null]);
    expect(figures(store.frame, "loss")).toEqual([1, null, null, NaN, 3, null]);
    expect(figures(take(store.frame, [3, 5]), "loss")).toEqual([NaN, null]);
  });

  it("starts anew at row 0", () => {
    const store = new TableStore("steps");
    store.merge(steps(0, [0, 1, 2]));
    expect(store.merge(steps(0, [5]))).toBe("replaced");
    expect([...numbers(store.frame, "step")]).toEqual([5]);
    expect(store.nextRow).toBe(1);
  });

  it("takes an empty answer as the beginning", () => {
    const store = new TableStore("steps");
    expect(store.merge(segment({ first: 0, next: 0, numbers: { step: [] } }))).toBe("replaced");
    expect(store.frame.rows).toBe(0);
    expect(store.merge(segment({ first: 0, next: 2, numbers: { step: [0, 1] } }))).toBe("replaced");
    expect(store.merge(segment({ first: 2, next: 3, numbers: { step: [2] } }))).toBe("appended");
    expect([...numbers(store.frame, "step")]).toEqual([0, 1, 2]);
  });

  it("tells duplicates from gaps", () => {
    const store = new TableStore("steps");
    expect(store.merge(steps(4, [4, 5]))).toBe("ignored");
    store.merge(steps(0, [0, 1, 2, 3]));
    expect(store.merge(steps(2, [2, 3]))).toBe("ignored");
    expect(store.merge(steps(6, [6]))).toBe("gap");
    expect(store.merge(steps(3, [3, 4, 5]))).toBe("gap");
    expect(store.frame.rows).toBe(4);
  });

  it("joins the dictionaries of labels", () => {
    const store = new TableStore("layers");
    store.merge(
      segment({ table: "layers", first: 0, next: 2, labels: { layer: ["fc1", "fc2"] }, numbers: { step: [0, 0] } }),
    );
    store.merge(
      segment({
        table: "layers",
        first: 2,
        next: 5,
        labels: { layer: ["out", "fc2", "fc1"] },
        numbers: { step: [9, 9, 9] },
      }),
    );
    expect([0, 1, 2, 3, 4].map((row) => label(store.frame, "layer", row))).toEqual(["fc1", "fc2", "out", "fc2", "fc1"]);
    expect(distinct(store.frame, "layer")).toEqual(["fc1", "fc2", "out"]);
    expect([...numbers(where(store.frame, { layer: "fc2" }), "step")]).toEqual([0, 9]);
  });

  it("remembers that rows were left out", () => {
    const store = new TableStore("steps");
    store.merge(segment({ first: 0, next: 1000, sampled: true, numbers: { step: [0, 500, 999] } }));
    store.merge(steps(1000, [1000]));
    expect(store.frame.sampled).toBe(true);
    expect(store.nextRow).toBe(1001);
  });
});
