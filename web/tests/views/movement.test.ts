import { describe, expect, it } from "vitest";
import { makeScale, nearestPoint, pointOpacity, rangeOf } from "../../parts/scatter";
import { layOut } from "../../views/network_outline/layout";
import { follow, moveOf } from "../../views/network_outline/moves";

describe("arrow keys in a network diagram", () => {
  // 0 → 1 → 3 and 0 → 2 → 3: a fork that joins again.
  const layout = layOut(4, [
    [-1, 0],
    [0, 1],
    [0, 2],
    [1, 3],
    [2, 3],
  ]);

  it("follow the edges, along the same lane first", () => {
    expect([0, 1, 2, 3].map((box) => follow(layout, box, "forward"))).toEqual([1, 3, 3, 3]);
    expect([0, 1, 2, 3].map((box) => follow(layout, box, "back"))).toEqual([0, 0, 0, 1]);
  });

  it("step between branches, and to the ends", () => {
    expect([
      follow(layout, 1, "beside-after"),
      follow(layout, 2, "beside-before"),
      follow(layout, 0, "beside-after"),
    ]).toEqual([2, 1, 0]);
    expect([follow(layout, 2, "first"), follow(layout, 0, "last")]).toEqual([0, 3]);
  });

  it("turn with the diagram, and leave other keys alone", () => {
    expect([moveOf("ArrowRight", true), moveOf("ArrowRight", false)]).toEqual(["forward", "beside-after"]);
    expect([moveOf("ArrowDown", true), moveOf("ArrowDown", false)]).toEqual(["beside-after", "forward"]);
    expect(moveOf("a", true)).toBeNull();
  });
});

describe("scatter plots", () => {
  it("map a range to pixels, upside down if asked", () => {
    const scale = makeScale([0, 10], [100, 0], 5);
    expect([scale(0), scale(5), scale(10)]).toEqual([100, 50, 0]);
    expect(scale.ticks).toEqual([0, 2, 4, 6, 8, 10]);
  });

  it("hold all finite values, and have room when all are equal", () => {
    expect(
      rangeOf(
        [
          [1, NaN, 3],
          [Infinity, 2],
        ],
        0,
      ),
    ).toEqual([1, 3]);
    const [low, high] = rangeOf([[5, 5]]);
    expect(low).toBeLessThan(5);
    expect(high).toBeGreaterThan(5);
    expect(rangeOf([[]])).toEqual([0, 1]);
  });

  it("find the nearest point within reach", () => {
    expect(nearestPoint([0, 10, 20], [0, 10, 20], 12, 9)).toBe(1);
    expect(nearestPoint([0, 10, 20], [0, 10, 20], 100, 100)).toBe(-1);
  });

  it("draw crowds fainter", () => {
    expect(pointOpacity(50)).toBeGreaterThan(pointOpacity(2000));
    expect(pointOpacity(1e9)).toBeGreaterThan(0);
  });
});
