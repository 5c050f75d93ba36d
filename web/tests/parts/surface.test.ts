import { describe, expect, it } from "vitest";
import { paintPicture, pictureShape, sizeOf } from "../../parts/field_image";
import { contourSegments, levelsIn, locate, nearestIndex, valueAt, type Grid } from "../../parts/surface/grid";
import { inBox, meshOf, outOfBox, type Box } from "../../parts/surface/mesh";
import { eyeOf, HOME, sayOrbit, turn, turnByKey } from "../../parts/surface/orbit";

const axis = (count: number, reach: number): number[] =>
  Array.from({ length: count }, (_, index) => -reach + (2 * reach * index) / (count - 1));
function gridOf(f: (x: number, y: number) => number, count = 41, reach = 2): Grid {
  const x = axis(count, reach);
  return { x, y: x, values: x.flatMap((row) => x.map((column) => f(column, row))) };
}

describe("a function on a grid", () => {
  it("is read bilinearly: exactly, where it is bilinear", () => {
    const f = (x: number, y: number): number => 3 * x - 2 * y + 0.5 * x * y + 1;
    const grid = gridOf(f, 7);
    for (const [x, y] of [
      [-2, -2],
      [2, 2],
      [0.37, -1.91],
      [-0.001, 1.3],
    ] as const) {
      expect(valueAt(grid, { x, y })).toBeCloseTo(f(x, y), 12);
    }
    expect(valueAt(grid, { x: 2.01, y: 0 })).toBeNaN();
    expect(valueAt({ ...grid, x: [], y: [] }, { x: 0, y: 0 })).toBeNaN();
  });

  it("is not spoilt by an infinite neighbour of no weight", () => {
    const grid: Grid = { x: [0, 1], y: [0, 1], values: [1, Infinity, 3, Infinity] };
    expect(valueAt(grid, { x: 0, y: 0.5 })).toBe(2);
    expect(valueAt(grid, { x: 0.5, y: 0.5 })).not.toSatisfy(Number.isFinite);
  });

  it("has circles as the contours of a bowl, as long as circles are", () => {
    const grid = gridOf((x, y) => Math.hypot(x, y), 81);
    const segments = contourSegments(grid, 1.5);
    let length = 0;
    for (let at = 0; at < segments.length; at += 4) {
      const [x0, y0, x1, y1] = segments.slice(at, at + 4) as [number, number, number, number];
      expect(Math.hypot(x0, y0)).toBeCloseTo(1.5, 2);
      length += Math.hypot(x1 - x0, y1 - y0);
    }
    expect(length).toBeCloseTo(3 * Math.PI, 1);
  });

  it("decides a saddle by its middle, and leaves out what is not finite", () => {
    const saddle: Grid = { x: [0, 1], y: [0, 1], values: [1, -1, -1, 1] };
    expect(contourSegments(saddle, 0.1)).toHaveLength(8);
    const joined = contourSegments(saddle, -0.1); // the middle is above: the high corners are one
    const crosses = (x: number, y: number, segments: number[]): number => {
      let best = Infinity;
      for (let at = 0; at < segments.length; at += 4) {
        const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = segments.slice(at, at + 4);
        best = Math.min(best, Math.hypot((x0 + x1) / 2 - x, (y0 + y1) / 2 - y));
      }
      return best;
    };
    expect(crosses(1, 0, joined)).toBeLessThan(0.4);
    expect(crosses(0, 0, joined)).toBeGreaterThan(0.6);
    expect(contourSegments({ ...saddle, values: [1, -1, NaN, 1] }, 0)).toEqual([]);
  });

  it("finds intervals, nearest places and round levels", () => {
    expect(locate([0, 1, 3], 2)).toEqual([1, 0.5]);
    expect(locate([0, 1, 3], 3)).toEqual([1, 1]);
    expect(locate([0, 1, 3], 3.1)).toEqual([-1, 0]);
    expect(nearestIndex([0, 1, 3], 2.2)).toBe(2);
    expect(levelsIn([0, 1], 4)).toEqual([0.2, 0.4, 0.6, 0.8]);
    expect(levelsIn([1, 1], 4)).toEqual([]);
  });
});

describe("the triangles of a surface", () => {
  const box: Box = { x: [-2, 2], y: [-2, 2], value: [-4, 4] };

  it("stand in the box, upright by the slope", () => {
    const mesh = meshOf(
      gridOf((x) => x, 5),
      box,
    );
    expect(mesh.triangles).toHaveLength(4 * 4 * 2 * 3);
    expect([...mesh.positions.slice(0, 3)]).toEqual([-1, 0.25, 1]);
    const [across = 0, up = 0, deep = 0] = mesh.normals.slice(3 * 12, 3 * 12 + 3);
    expect(Math.hypot(across, up, deep)).toBeCloseTo(1, 6);
    expect(-across / up).toBeCloseTo(0.25, 6); // half the box's height over its whole width of two
    expect(deep).toBeCloseTo(0, 9);
  });

  it("leave out corners that are not finite", () => {
    const grid = gridOf((x, y) => (x === 0 && y === 0 ? NaN : 0), 5);
    expect(meshOf(grid, box).triangles).toHaveLength((16 - 4) * 6);
    expect([...meshOf(grid, box).positions].every(Number.isFinite)).toBe(true);
  });

  it("lead back to where they came from, and stay below the lid", () => {
    const [x, up, depth] = inBox(box, 1.2, -0.7, 100);
    expect(up).toBe(1);
    const back = outOfBox(box, x, depth);
    expect(back.x).toBeCloseTo(1.2, 12);
    expect(back.y).toBeCloseTo(-0.7, 12);
  });
});

describe("the eye", () => {
  it("keeps its distance wherever it is turned", () => {
    for (const orbit of [HOME, turn(HOME, 2, -0.4), turn(HOME, -9, 3)]) {
      expect(Math.hypot(...eyeOf(orbit, 3))).toBeCloseTo(3, 12);
    }
    expect(turn(HOME, 0, 99).elevation).toBeLessThan(Math.PI / 2);
    expect(turn(HOME, 2 * Math.PI, 0).azimuth).toBeCloseTo(HOME.azimuth, 12);
    expect(turn(HOME, 0, 0, 100).zoom).toBe(6);
  });

  it("is moved by keys, and by no others", () => {
    const left = turnByKey(HOME, "ArrowLeft");
    expect(left && turnByKey(left, "ArrowRight")?.azimuth).toBeCloseTo(HOME.azimuth, 12);
    expect(turnByKey(HOME, "ArrowUp")!.elevation).toBeGreaterThan(HOME.elevation);
    expect(turnByKey(HOME, "+")!.zoom).toBeGreaterThan(1);
    expect(turnByKey(turn(HOME, 1, 0.2, 2), "0")).toEqual(HOME);
    expect(turnByKey(HOME, "Tab")).toBeNull();
    expect(sayOrbit({ azimuth: Math.PI / 2, elevation: 0, zoom: 1 })).toBe("turned by 90°, seen from 0° above");
  });
});

describe("a vector that is a picture", () => {
  it("is known by its shape", () => {
    expect(pictureShape([1, 28, 28])).toEqual({ channels: 1, rows: 28, columns: 28 });
    expect(pictureShape([1, 1, 8, 8])).toEqual({ channels: 1, rows: 8, columns: 8 });
    expect(pictureShape([3, 32, 16])).toEqual({ channels: 3, rows: 32, columns: 16 });
    expect(pictureShape([8, 8])).toEqual({ channels: 1, rows: 8, columns: 8 });
    for (const shape of [[30], [1, 30], [5, 8, 8], [], [1, 1]]) expect(pictureShape(shape)).toBeNull();
  });

  it("is painted from black to white, or by its sign", () => {
    const shape = { channels: 1, rows: 1, columns: 3 };
    const plain = paintPicture([-1, 0, 3], shape, { dark: false, plain: true, size: 1 });
    expect([...plain]).toEqual([0, 0, 0, 255, 64, 64, 64, 255, 255, 255, 255, 255]);
    const signed = paintPicture([-2, 0, 2], shape, { dark: false, plain: false, size: 2 });
    expect(signed[2]!).toBeGreaterThan(signed[0]!); // blue below
    expect(signed[8]!).toBeGreaterThan(signed[10]!); // orange above
    const colours = paintPicture(
      [1, 0, -1],
      { channels: 3, rows: 1, columns: 1 },
      { dark: false, plain: false, size: 1 },
    );
    expect([...colours]).toEqual([255, 128, 0, 255]);
    expect(sizeOf([NaN, -3, Infinity])).toBe(3);
  });
});
