import { describe, expect, it } from "vitest";
import { thinDecades } from "../../parts/chart_options";

const powers = (from: number, to: number, by = 1) =>
  Array.from({ length: (to - from) / by + 1 }, (_, index) => 10 ** (from + index * by));

describe("the labels of a logarithmic axis", () => {
  it("all stand where there is room", () => {
    expect(thinDecades([1, 2, 5, 10, 100], 150)).toEqual([1, 2, 5, 10, 100]);
    expect(thinDecades([], 150)).toEqual([]);
  });

  it("are thinned where there is none, and never all left out", () => {
    const thinned = thinDecades(powers(0, 17), 100).filter((tick) => tick !== null);
    expect(thinned).toEqual([0, 3, 6, 9, 12, 15].map((power) => 10 ** power));
    const odd = powers(-3, 9, 2).flatMap((tick) => [tick, null]);
    expect(thinDecades(odd, 100).filter((tick) => tick !== null).length).toBeGreaterThan(3);
  });
});
