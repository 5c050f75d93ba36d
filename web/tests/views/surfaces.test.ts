import { flushSync, mount, unmount } from "svelte";
import { afterEach, describe, expect, it } from "vitest";
import type { NdArray } from "../../api/payload";
import type { InputFolding as Folding, NeuronSurface as Surfaces, RegionsOnLine as Line, SlicePlane } from "../../api/types"; // prettier-ignore
import { extentOf, inBox, joined, mixInto, partOf } from "../../views/input_folding/morph";
import InputFolding from "../../views/InputFolding.svelte";
import {
  beforeOf,
  domainOf,
  hyperplane,
  isFlat,
  onwardOf,
  spanOf,
  stagesOf,
  twoSided,
  valuesOf,
} from "../../views/neuron_surface/surfaces";
import { layTiles, packedRamp, paintTile, tileAt } from "../../views/neuron_surface/tiles";
import NeuronSurface from "../../views/NeuronSurface.svelte";
import { bendsOf, outputAlong, stretches } from "../../views/regions_on_line/pieces";

const array = (data: ArrayLike<number>, shape: number[]): NdArray => ({
  data: Float64Array.from(data),
  shape,
  dtype: "F64",
});
const plane: SlicePlane = {
  origin: array([0, 0], [2]),
  u: array([1, 0], [2]),
  v: array([0, 1], [2]),
  u_range: [-1, 1],
  v_range: [-1, 1],
  shape: [2],
  labels: ["x", "y"],
  layer: "",
  points: array([0.5, 0.5], [1, 2]),
  point_classes: array([1], [1]),
  distances: array([0], [1]),
};
let mounted: Record<string, unknown> | null = null;
afterEach(async () => {
  if (mounted) await unmount(mounted);
  mounted = null;
});

const relu = (value: number) => Math.max(0, value);
const axis = [-1, -0.5, 0, 0.5, 1];
const grid = axis.flatMap((t) => axis.map((s) => [s, t] as const));

/** fc1: relu(x + y − 0.5), relu(−1); fc2: 2·first − 3·second + 1, by hand. */
function surfaces(): Surfaces {
  const first = grid.map(([s, t]) => relu(s + t - 0.5));
  const dead = grid.map(() => 0);
  const second = first.map((value) => 2 * value + 1);
  const layer = { normalised: false, unit_shape: [2], positions: "", before: array([], [0, 0, 0]) };
  const facts = { precision_error: 1e-7, interpolation_error: 1e-3, operation: "Linear" };
  return {
    schema: "neuron_surface/1",
    model: "Net",
    plane,
    s: array(axis, [5]),
    t: array(axis, [5]),
    layers: [
      {
        ...layer,
        ...facts,
        name: "fc1",
        activation: "relu",
        units: array([0, 1], [2]),
        values: array([...first, ...dead], [2, 5, 5]),
        low: array([0, 0], [2]),
        high: array([1.5, 0], [2]),
        source: "input",
        weight: array([1, 1, 0, 0], [2, 2]),
        bias: array([-0.5, -1], [2]),
        own_bias: array([-0.5, -1], [2]),
      },
      {
        ...layer,
        ...facts,
        name: "fc2",
        activation: "",
        unit_shape: [1],
        units: array([0], [1]),
        values: array(second, [1, 5, 5]),
        low: array([1], [1]),
        high: array([4], [1]),
        source: "fc1",
        weight: array([2, -3], [1, 2]),
        bias: array([1], [1]),
        own_bias: array([1], [1]),
      },
    ],
    tolerance: 0,
    computed: array([], [0, 0]),
    evaluations: 25,
    samples: 8,
    nonfinite: 0,
  };
}

describe("a neuron's range over training", () => {
  it("is that of all moments with the same neurons, whatever moment is shown", () => {
    const now = surfaces();
    const [first] = now.layers;
    const moment = (low: number[], high: number[], units = [0, 1]): Surfaces => ({
      ...now,
      layers: [{ ...first!, units: array(units, [2]), low: array(low, [2]), high: array(high, [2]), values: array([], [0, 0, 0]) }], // prettier-ignore
    });
    const moments = [moment([-2, 0], [0.5, NaN]), moment([0, 0], [7, 1]), moment([-9, -9], [9, 9], [0, 5])];
    const span = spanOf(first!, moments);
    expect([Array.from(span.low), Array.from(span.high)]).toEqual([
      [-2, 0],
      [7, 1],
    ]);
    expect(twoSided(span)).toBe(true);
    expect(twoSided(spanOf(first!, []))).toBe(false);
    expect(spanOf(moments[1]!.layers[0]!, [now, ...moments])).toEqual(span);
  });
});

describe("a neuron's surface", () => {
  it("comes about by slope, shift, clip, weight and sum", () => {
    const result = surfaces();
    const stages = stagesOf(result, result.layers[0]!, 0, 0);
    expect(stages.map(({ name }) => name)).toEqual(["Slope", "Shifted", "Clipped", "Weighed", "Summed"]);
    grid.forEach(([s, t], at) => {
      expect(stages[0]!.values[at]).toBeCloseTo(s + t, 12);
      expect(stages[1]!.values[at]).toBeCloseTo(s + t - 0.5, 12);
      expect(stages[2]!.values[at]).toBeCloseTo(relu(s + t - 0.5), 12);
      expect(stages[3]!.values[at]).toBeCloseTo(2 * relu(s + t - 0.5), 12);
      expect(stages[4]!.values[at]).toBeCloseTo(2 * relu(s + t - 0.5) + 1, 12);
    });
    expect(onwardOf(result, result.layers[1]!)).toBeUndefined();
    expect(Array.from(beforeOf(result, result.layers[1]!, 0)!)).toEqual(Array.from(valuesOf(result.layers[1]!, 0)));
  });

  it("bends along its line, clipped to the slice", () => {
    const result = surfaces();
    const line = hyperplane(result, result.layers[0]!, 0)!.sort((a, b) => a[0] - b[0]);
    expect(line[0]![0]).toBeCloseTo(-0.5, 12);
    expect(line[0]![1]).toBeCloseTo(1, 12);
    expect(line[1]![0]).toBeCloseTo(1, 12);
    expect(line[1]![1]).toBeCloseTo(-0.5, 12);
    expect(hyperplane(result, result.layers[0]!, 1)).toBeNull();
    expect(hyperplane(result, result.layers[1]!, 0)).toBeNull();
    expect(isFlat(result.layers[0]!, 1)).toBe(true);
  });

  it("is painted with its first row at the bottom", () => {
    const table = packedRamp("sequential", false);
    const target = new Uint32Array(4);
    paintTile([0, NaN, 1, 7], 2, [0, 1], table, target);
    expect(Array.from(target)).toEqual([table[255], table[255], table[0], 0]);
    expect(domainOf(-1, 3, true)).toEqual([-3, 3]);
    expect(domainOf(0, 0, false)).toEqual([0, 1]);
  });

  it("has a tile that is found under the pointer", () => {
    const layout = layTiles(24, 900, 1, 6);
    expect(layout.across * layout.rows).toBeGreaterThanOrEqual(24);
    expect(layout.across * (layout.side + 6) - 6).toBeLessThanOrEqual(900 + 1e-9);
    expect(tileAt(layout, 6, layout.side + 10, 5, 24)).toBe(1);
    expect(tileAt(layout, 6, 5, layout.tall + 10, 24)).toBe(layout.across);
    expect(tileAt(layout, 6, 5, 10_000, 24)).toBe(-1);
  });

  it("is shown with all neurons of its layer", () => {
    document.body.replaceChildren();
    mounted = mount(NeuronSurface, { target: document.body, props: { result: surfaces() } });
    flushSync();
    expect(document.body.textContent).toContain("fc1: 2 neurons");
    expect(document.body.textContent).toContain("the line is where it bends");
    expect(document.querySelector('[aria-label="2 neurons of fc1"]')!.getAttribute("aria-valuetext")).toBe(
      "#0: 0 … 1.5",
    );
  });
});

function folding(): Folding {
  const lines = [-1, -1, 1, -1, -1, 1, 1, 1];
  const stage = {
    operation: "",
    activation: "",
    units: 2,
    direct: true,
    explained: 1,
    stretch: 1,
    collapsed: 0,
    moved: NaN,
  };
  return {
    schema: "input_folding/1",
    model: "Net",
    plane,
    lines: array(lines, [2, 2, 2]),
    stages: [
      { ...stage, name: "input", lines: array(lines, [2, 2, 2]), points: array([0.5, 0.5], [1, 2]) },
      { ...stage, name: "fc1", lines: array(lines.map((v) => 4 * v + 2), [2, 2, 2]), points: array([4, 4], [1, 2]), stretch: 16 }, // prettier-ignore
    ],
    aligned_to: "layers",
    carried: "slice",
    point_classes: array([1], [1]),
    nonfinite: 0,
  };
}

describe("the folded plane", () => {
  it("fits each layer into its box, and goes evenly from one to the next", () => {
    const [first, second] = folding().stages.map((stage) => inBox(stage, extentOf(stage)));
    expect(Array.from(first!)).toEqual([-1, -1, 1, -1, -1, 1, 1, 1, 0.5, 0.5]);
    expect(Array.from(second!)).toEqual(Array.from(first!));
    const half = new Float32Array(2);
    mixInto(half, Float32Array.of(0, 1), Float32Array.of(2, 3), 0.5);
    expect(Array.from(half)).toEqual([1, 2]);
    expect(partOf(0.5, 2)).toEqual([0, 0.5]);
    expect(partOf(9, 2)).toEqual([0, 1]);
    expect(partOf(0, 1)).toEqual([0, 0]);
  });

  it("keeps a box that holds all that was shown of a layer", () => {
    expect(joined({ x: 0, y: 0, half: 1 }, { x: 3, y: 0, half: 1 })).toEqual({ x: 1.5, y: 0, half: 2.5 });
  });

  it("says what a layer does to the plane", () => {
    document.body.replaceChildren();
    mounted = mount(InputFolding, { target: document.body, props: { result: folding(), position: 1 } });
    flushSync();
    expect(document.body.textContent).toContain("The plane as fc1 sees it.");
    expect(document.body.textContent).toContain("area × 16");
  });
});

describe("a network along a line", () => {
  /** Outputs t, 1 − t and 0.8: the middle one leads to 0.2, then the last, from 0.8 on the first. */
  const line: Line = {
    schema: "regions_on_line/1",
    classes: [],
    model: "Net",
    operations: [
      { op: "relu", module: "a", first: 0, quantities: 2, units: 2 },
      { op: "relu", module: "b", first: 2, quantities: 1, units: 1 },
    ],
    breaks: array([0, 0.25, 0.5, 1], [4]),
    kinks: array([-1, 1, 2, -1], [4]),
    outputs: array([0, 1, 0.8, 0.25, 0.75, 0.8, 0.5, 0.5, 0.8, 1, 0, 0.8], [4, 3]),
    length: 2,
    error: 0,
    coincident: 0,
  };

  it("changes its class where two outputs tie", () => {
    const found = stretches(line);
    expect(found.map(({ winner }) => winner)).toEqual([1, 2, 0]);
    expect(found[1]!.from).toBeCloseTo(0.2, 12);
    expect(found[2]!.from).toBeCloseTo(0.8, 12);
    const one = { ...line, outputs: array([-1, 0.5, 1, 2], [4, 1]) };
    expect(stretches(one)[1]!.from).toBeCloseTo(0.25 * (1 / 1.5), 12);
  });

  it("bends where its operations do", () => {
    expect(line.operations.map((kink) => bendsOf(line, kink))).toEqual([[0.25], [0.5]]);
    expect(Array.from(outputAlong(line, 1))).toEqual([1, 0.75, 0.5, 0]);
  });
});
