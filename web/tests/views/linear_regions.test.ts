import { flushSync, mount, unmount } from "svelte";
import { afterEach, describe, expect, it } from "vitest";
import type { NdArray } from "../../api/payload";
import type { CellPart } from "../../api/region_parts";
import type { LinearRegions as Regions } from "../../api/types";
import { held, panBy, seen, toPlane, toScreen, WHOLE, zoomAt } from "../../parts/camera";
import { areaOf, evaluate, localMap, slopeOf } from "../../views/linear_regions/affine";
import { lead, paint, robustRange, scaleFor } from "../../views/linear_regions/coloring";
import { decide } from "../../views/linear_regions/decision";
import { kinkOf, sides } from "../../views/linear_regions/kinks";
import { localParts } from "../../views/linear_regions/local_parts";
import { CellFinder } from "../../views/linear_regions/locate";
import { allEdges, buildMesh, layOut, segmentsBetween, unitVertices, visible } from "../../views/linear_regions/mesh";
import { Patterns, scatter } from "../../views/linear_regions/patterns";
import { provenOf } from "../../views/linear_regions/proofs";
import LinearRegions from "../../views/LinearRegions.svelte";

const array = (data: ArrayLike<number>, shape: number[], type: "F64" | "I32" | "U8" = "F64"): NdArray => ({
  data: type === "F64" ? Float64Array.from(data) : type === "I32" ? Int32Array.from(data) : Uint8Array.from(data),
  shape,
  dtype: type,
});

/**
 * The network f(x, y) = relu(x) + 2 relu(y − 0) − 0.5 on [−1, 1]², by hand: four squares; x bends first, then y.
 *
 *   vertices  6 7 8      cells  2 3
 *             3 4 5             0 1
 *             0 1 2
 */
function fourSquares(over: Partial<Regions> = {}): Regions {
  const places = [-1, 0, 1].flatMap((y) => [-1, 0, 1].map((x) => [x, y] as const));
  const rings = [
    [0, 1, 4, 3],
    [1, 2, 5, 4],
    [3, 4, 7, 6],
    [4, 5, 8, 7],
  ];
  const edges: [number, number, number, number, number][] = [
    [0, 1, 0, -1, -1],
    [1, 2, 1, -1, -1],
    [2, 5, 1, -1, -1],
    [5, 8, 3, -1, -1],
    [8, 7, 3, -1, -1],
    [7, 6, 2, -1, -1],
    [6, 3, 2, -1, -1],
    [3, 0, 0, -1, -1],
    [1, 4, 0, 1, 0], // relu(x)
    [4, 7, 2, 3, 0],
    [3, 4, 2, 0, 1], // relu(y)
    [4, 5, 3, 1, 1],
  ];
  const edgeBetween = (a: number, b: number) =>
    edges.findIndex(([from, to]) => (from === a && to === b) || (from === b && to === a));
  const kink = { op: "relu", kind: "threshold" as const, quantities: 1, units: 1, shape: [1] };
  return {
    schema: "linear_regions/1",
    model: "Net",
    classes: [],
    plane: {
      origin: array([0, 0], [2]),
      u: array([1, 0], [2]),
      v: array([0, 1], [2]),
      u_range: [-1, 1],
      v_range: [-1, 1],
      shape: [2],
      labels: ["x", "y"],
      layer: "",
      points: array([0.5, 0.5, -0.5, -0.5], [2, 2]),
      point_classes: array([1, 0], [2]),
      distances: array([0, 0], [2]),
    },
    kinks: [
      { ...kink, module: "first", first: 0, cells: 2 },
      { ...kink, module: "second", first: 1, cells: 4 },
    ],
    vertices: array(places.flat(), [9, 2]),
    cell_start: array([0, 4, 8, 12, 16], [5], "I32"),
    cell_vertex: array(rings.flat(), [16], "I32"),
    cell_edge: array(rings.flatMap((ring) => ring.map((a, at) => edgeBetween(a, ring[(at + 1) % 4] as number))), [16], "I32"), // prettier-ignore
    edge_vertex: array(edges.flatMap(([a, b]) => [a, b]), [12, 2], "I32"), // prettier-ignore
    edge_cell: array(edges.flatMap(([, , left, right]) => [left, right]), [12, 2], "I32"), // prettier-ignore
    edge_kink: array(edges.map((edge) => edge[4]), [12], "I32"), // prettier-ignore
    patterns: [
      { parent: array([0, 0], [2], "I32"), bits: array([0, 1], [2, 1], "U8") },
      { parent: array([0, 1, 0, 1], [4], "I32"), bits: array([0, 0, 1, 1], [4, 1], "U8") },
    ],
    outputs: array(
      places.map(([x, y]) => Math.max(0, x) + 2 * Math.max(0, y) - 0.5),
      [9, 1],
    ),
    proofs: {
      area: 4,
      slice_area: 4,
      euler: 1,
      open_edges: 0,
      vertex_error: 0,
      inside_error: NaN,
      checked: 0,
      welded: 0,
      unclear: 0,
      thin: 0,
      smallest: 1,
      linearised: 0,
    },
    ...over,
  };
}

describe("a camera", () => {
  const size = { width: 400, height: 200 };

  it("puts the plane's corners into the field's corners, the second axis upwards", () => {
    expect(toScreen(WHOLE, size, [0, 0])).toEqual([0, 200]);
    expect(toScreen(WHOLE, size, [1, 1])).toEqual([400, 0]);
  });

  it("zooms about the pointer, and goes back the way it came", () => {
    const camera = zoomAt(WHOLE, size, [300, 50], 8);
    const under = toPlane(WHOLE, size, [300, 50]);
    const now = toPlane(camera, size, [300, 50]);
    expect(now[0]).toBeCloseTo(under[0], 12);
    expect(now[1]).toBeCloseTo(under[1], 12);
    expect(zoomAt(camera, size, [300, 50], 1 / 8)).toEqual(WHOLE);
  });

  it("never shows what lies outside the plane", () => {
    const frame = seen(panBy({ x: 0.5, y: 0.5, zoom: 2 }, size, 10_000, -10_000));
    expect(frame).toEqual({ left: 0, right: 0.5, bottom: 0, top: 0.5 });
    expect(held({ x: NaN, y: 7, zoom: 0 })).toEqual(WHOLE);
  });
});

describe("the mesh of cells", () => {
  it("covers the slice once with triangles, each with its cell", () => {
    const result = fourSquares();
    const mesh = buildMesh(result, unitVertices(result));
    const area = [0, 0, 0, 0];
    for (let at = 0; at < mesh.triangles.length; at += 3) {
      const [a, b, c] = [0, 1, 2].map((k) => mesh.triangles[at + k] as number) as [number, number, number];
      const x = (corner: number) => mesh.places[2 * corner] as number;
      const y = (corner: number) => mesh.places[2 * corner + 1] as number;
      const twice = (x(b) - x(a)) * (y(c) - y(a)) - (x(c) - x(a)) * (y(b) - y(a));
      expect(mesh.owner[a]).toBe(mesh.owner[c]);
      area[mesh.owner[a] as number]! += twice / 2;
    }
    expect(area).toEqual([0.25, 0.25, 0.25, 0.25]);
  });

  it("draws only the stretches that are seen, each thing once", () => {
    const side = 60;
    const flat = Array.from({ length: side * side }, (_, at) => {
      const [x, y] = [(at % side) / side, Math.floor(at / side) / side];
      return [x, y, x + 0.5 / side, y];
    }).flat();
    const { ends, tiles } = layOut(flat);
    const all = visible(tiles, { left: 0, right: 1, bottom: 0, top: 1 });
    expect(all).toEqual([{ first: 0, count: side * side }]);
    const part = visible(tiles, { left: 0, right: 0.2, bottom: 0, top: 0.2 });
    const drawn = new Set(part.flatMap(({ first, count }) => Array.from({ length: count }, (_, at) => first + at)));
    for (let place = 0; place < side * side; place++) {
      if ((ends[4 * place] as number) <= 0.2 && (ends[4 * place + 1] as number) <= 0.2)
        expect(drawn.has(place)).toBe(true);
    }
    expect(drawn.size).toBeLessThan(0.2 * side * side);
  });

  it("finds the lines of one layer or unit", () => {
    const result = fourSquares();
    const unit = unitVertices(result);
    const parts = localParts(result);
    const lines = segmentsBetween(parts.bends(1, 0) as Uint32Array, unit);
    expect(lines.ends.length / 4).toBe(2);
    expect(Array.from(lines.ends).filter((_, at) => at % 2 === 1)).toEqual([0.5, 0.5, 0.5, 0.5]);
    expect(allEdges(result, unit).ends.length / 4).toBe(12);
    expect(parts.bending).toEqual([1, 1]);
    expect(sides(result, parts.cell(0) as CellPart).map(({ name }) => name)).toEqual(["", "first", "second", ""]);
    expect(kinkOf(result, 1)?.module).toBe("second");
    expect(kinkOf(result, -1)).toBeUndefined();
  });
});

describe("the cell under a place", () => {
  it("is the one that arithmetic gives, in a sheared grid", () => {
    const side = 23;
    const unit = Float64Array.from({ length: 2 * (side + 1) ** 2 }, (_, at) => {
      const [column, row] = [(at >> 1) % (side + 1), Math.floor((at >> 1) / (side + 1))];
      return (at % 2 ? row : column) / side;
    });
    const start = Int32Array.from({ length: 2 * side * side + 1 }, (_, cell) => 3 * cell);
    const ring: number[] = [];
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < side; column++) {
        const at = row * (side + 1) + column;
        ring.push(at, at + 1, at + side + 2, at, at + side + 2, at + side + 1);
      }
    }
    const finder = new CellFinder(start, ring, unit);
    for (let k = 0; k < 2000; k++) {
      const [x, y] = [scatter(k, 1), scatter(k, 2)];
      const [column, row] = [Math.floor(x * side), Math.floor(y * side)];
      const above = y * side - row > x * side - column;
      expect(finder.at(x, y)).toBe(2 * (row * side + column) + (above ? 1 : 0));
    }
    expect(finder.at(1.01, 0.5)).toBe(-1);
    expect(finder.at(1, 1)).toBeGreaterThanOrEqual(0);
  });
});

describe("a cell's linear model", () => {
  it("is the network's own", () => {
    const result = fourSquares();
    const cell = (index: number) => localParts(result).cell(index) as CellPart;
    const map = localMap(cell(3))!;
    expect(map.slopes[0]![0]).toBeCloseTo(1, 12);
    expect(map.slopes[0]![1]).toBeCloseTo(2, 12);
    expect(evaluate(map, 0.3, 0.4)[0]).toBeCloseTo(0.3 + 0.8 - 0.5, 12);
    expect(slopeOf(result, 3, 0)).toBeCloseTo(Math.sqrt(5), 12);
    expect(slopeOf(result, 0, 0)).toBe(0);
    expect(areaOf(cell(2).points, result.plane)).toBe(0.25);
  });
});

describe("the decision boundary", () => {
  it("is where the output is zero, exact in each cell", () => {
    const result = fourSquares();
    const found = decide(result, unitVertices(result));
    const value = (x: number, y: number) => Math.max(0, x) + 2 * Math.max(0, y) - 0.5;
    expect(found.winner[0]).toBe(0);
    expect(found.boundary.length / 4).toBe(3);
    for (let at = 0; at < found.boundary.length; at += 2)
      expect(value(found.boundary[at]! * 2 - 1, found.boundary[at + 1]! * 2 - 1)).toBeCloseTo(0, 12);
  });

  it("divides a cell among three classes without gap or overlap", () => {
    // Outputs x, y, 0.1 over [−1, 1]² in one cell: three ways meet at (0.1, 0.1).
    const result = fourSquares({
      vertices: array([-1, -1, 1, -1, 1, 1, -1, 1], [4, 2]),
      cell_start: array([0, 4], [2], "I32"),
      cell_vertex: array([0, 1, 2, 3], [4], "I32"),
      outputs: array([-1, -1, 0.1, 1, -1, 0.1, 1, 1, 0.1, -1, 1, 0.1], [4, 3]),
    });
    const found = decide(result, unitVertices(result));
    const areas = new Map<number, number>();
    for (let at = 0; at < found.triangles.length; at += 3) {
      const [a, b, c] = [0, 1, 2].map((k) => found.triangles[at + k] as number) as [number, number, number];
      const x = (corner: number) => found.places[2 * corner] as number;
      const y = (corner: number) => found.places[2 * corner + 1] as number;
      const own = found.pieceClass[found.pieceOf[a]!]!;
      const twice = (x(b) - x(a)) * (y(c) - y(a)) - (x(c) - x(a)) * (y(b) - y(a));
      areas.set(own, (areas.get(own) ?? 0) + twice / 2);
    }
    // Of the square of side 2: class 2 holds 1.1², the others share the rest.
    expect(areas.get(2)).toBeCloseTo((1.1 * 1.1) / 4, 6);
    expect(areas.get(0)).toBeCloseTo((4 - 1.21) / 8, 6);
    expect(areas.get(1)).toBeCloseTo((4 - 1.21) / 8, 6);
    expect(found.pairs.map((pair) => pair.join()).sort()).toEqual(["0,1", "0,2", "1,2"]);
  });
});

describe("activation patterns", () => {
  it("come through the cells of earlier operations", () => {
    const patterns = new Patterns(fourSquares());
    const states = [0, 1, 2, 3].map((cell) => [...patterns.states(0, cell), ...patterns.states(1, cell)].join(""));
    expect(states).toEqual(["00", "10", "01", "11"]);
    expect(Array.from(patterns.state(0, 0))).toEqual([0, 1, 0, 1]);
    expect(Array.from(patterns.active(1))).toEqual([0, 0, 1, 1]);
  });

  it("point the same way wherever they are the same", () => {
    const first = new Patterns(fourSquares()).directions([0, 1]);
    const again = new Patterns(fourSquares()).directions([0, 1]);
    expect(first).toEqual(again);
    expect(new Set(Array.from(first.x, (x, cell) => `${x} ${first.y[cell]}`)).size).toBe(4);
  });
});

describe("colours", () => {
  it("keep a scale's meaning while training goes on", () => {
    const before = scaleFor([0, 1, 2]);
    expect(scaleFor([0.5, 0.7], before)).toEqual(before);
    expect(scaleFor([-1, 2])).toMatchObject({ ramp: "diverging", low: -2, high: 2 });
    expect(robustRange([])).toEqual([0, 1]);
    expect(robustRange([3, 3])).toEqual([2.5, 3.5]);
  });

  it("say how sure a network is", () => {
    expect(lead([0, 0, 0])).toBeCloseTo(0, 12);
    expect(lead([50, 0])).toBeCloseTo(1, 12);
    expect(lead([Math.log(3)])).toBeCloseTo(0.5, 12);
    expect(Array.from(paint(1, () => [1, 2, 3]))).toEqual([1, 2, 3, 255]);
  });
});

describe("the proofs", () => {
  it("tell what holds, what fails and what was not measured", () => {
    const held = provenOf(fourSquares()).map(({ holds }) => holds);
    expect(held).toEqual([true, true, true, true, null]);
    const proofs = { ...fourSquares().proofs, area: 3.9, euler: 2, open_edges: 1, vertex_error: 1e-3 };
    expect(provenOf(fourSquares({ proofs })).map(({ holds }) => holds)).toEqual([false, false, false, false, null]);
  });
});

describe("the view", () => {
  let mounted: Record<string, unknown> | null = null;
  afterEach(async () => {
    if (mounted) await unmount(mounted);
    mounted = null;
  });
  function show(props: Record<string, unknown>): HTMLElement {
    document.body.replaceChildren();
    mounted = mount(LinearRegions, { target: document.body, props: { result: fourSquares(), ...props } });
    flushSync();
    return document.body;
  }

  it("counts cells, lists layers and tells the proofs", () => {
    const page = show({});
    expect(page.textContent).toContain("4 linear regions");
    expect(page.textContent).toContain("first (relu)");
    expect(page.textContent).toContain("All hold");
  });

  it("reads the cell of a pinned place", () => {
    const page = show({ pinned: [0.3, 0.4] });
    expect(page.textContent).toContain("Cell 3");
    expect(page.textContent!.replaceAll(/\s+/g, " ")).toContain("f = −0.5 + 1 · x + 2 · y");
    expect(page.textContent).toContain("1 of 1 active");
  });

  it("shows a network whose outputs were not kept by its patterns", () => {
    const page = show({ result: fourSquares({ outputs: array([], [0, 0]) }), pinned: [0.3, 0.4] });
    expect(page.querySelector("select")!.value).toBe("pattern");
    expect(page.textContent).not.toContain("Zero line");
  });

  it("shows a linearised network without operations", () => {
    const page = show({ result: fourSquares({ kinks: [], patterns: [] }) });
    expect(page.textContent).toContain("4 linear regions");
  });
});
