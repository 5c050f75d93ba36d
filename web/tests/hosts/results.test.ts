import { describe, expect, it } from "vitest";
import { mostWrong, sortResults, type AnyResult } from "../../hosts/results";

const evaluation = (split: string, rows: number[]) =>
  ({
    schema: "classification_evaluation/1",
    split,
    worst: { rows: { data: Int32Array.from(rows), shape: [rows.length], dtype: "I32" } },
  }) as unknown as AnyResult;

describe("the rows that are worth tracing", () => {
  it("are the worst of the test split", () => {
    const results = sortResults([
      evaluation("train", [9]),
      evaluation("test", [3, 1, 4, 1, 5, 9]),
      evaluation("x", []),
    ]);
    expect(mostWrong(results, 3)).toEqual({ split: "test", rows: [3, 1, 4] });
  });

  it("are those of another split where the test split has none", () => {
    expect(mostWrong(sortResults([evaluation("validation", [7]), evaluation("test", [])]))).toEqual({
      split: "validation",
      rows: [7],
    });
    expect(mostWrong(sortResults([]))).toEqual({ split: "", rows: [] });
  });

  it("stand beside the walks that a run keeps", () => {
    const walk = { schema: "trace_stepper/1", model: "Net" } as unknown as AnyResult;
    expect(sortResults([walk, evaluation("test", [1])]).traces).toEqual([walk]);
  });
});
