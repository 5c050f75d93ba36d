import { flushSync, mount, unmount, type Component } from "svelte";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { NdArray } from "../../api/payload";
import type {
  Curvature as CurvatureResult,
  InputJacobian as JacobianResult,
  LocalLinearModels as ModelsResult,
  LossLandscape as LandscapeResult,
  WeightCurve as CurveResult,
} from "../../api/types";
import Curvature from "../../views/Curvature.svelte";
import InputJacobian from "../../views/InputJacobian.svelte";
import LocalLinearModels from "../../views/LocalLinearModels.svelte";
import LossLandscape from "../../views/LossLandscape.svelte";
import WeightCurve from "../../views/WeightCurve.svelte";
import { densityCurve, eigenvaluesOf, spanOf, stabilityOf } from "../../views/curvature/spectrum";
import { keptShare, rowOf, splitOf, strongest } from "../../views/input_jacobian/parts";
import { coefficientsOf, importanceOf, linesOf, profileOf, scalesOf } from "../../views/local_linear_models/models";
import {
  commonDomain,
  cutOf,
  domainOf,
  gridOf,
  isOffPlane,
  lowestOf,
  notFinite,
  pathOf,
  sayWhere,
  spansMuch,
  stemOf,
} from "../../views/loss_landscape/landscape";
import { sayLoss } from "../../views/loss_name";
import {
  countBends,
  lowestOf as lowestWeight,
  nearestBend,
  pathOf as svgPath,
  readAt,
  samplesOf,
} from "../../views/weight_curve/curve";

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

function array(data: readonly number[], shape: readonly number[] = [data.length]): NdArray {
  return { data: Float64Array.from(data), shape, dtype: "F64" };
}

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

/** L = 0.1 + s² + 4t² around the centre, on s and t in −1 … 1, with a path of three checkpoints. */
function landscape(over: Partial<LandscapeResult> = {}): LandscapeResult {
  const steps = Array.from({ length: 21 }, (_, index) => -1 + index / 10);
  return {
    schema: "loss_landscape/1",
    dimensions: 2,
    directions: "path",
    normalization: "none",
    statistics: "running",
    loss_name: "CrossEntropyLoss",
    parameters: 10,
    examples: 5,
    s: array(steps),
    t: array(steps),
    labels: ["component 1", "component 2"],
    loss: array(
      steps.flatMap((t) => steps.map((s) => 0.1 + s * s + 4 * t * t)),
      [21, 21],
    ),
    center_loss: 0.1,
    lengths: array([1, 1]),
    cosine: 0,
    fixed: ["norm.weight"],
    slopes: array([0, 0]),
    curvatures: array([2, 0, 0, 8], [2, 2]),
    residuals: array([NaN, NaN]),
    path: {
      coordinates: array([-0.9, 0.4, -0.3, 0.2, 0, 0, 5, 5], [4, 2]),
      distance: array([0.1, 0.05, 0, 0.2]),
      length: array([1, 0.4, 0, 7]),
      loss: array([1.6, 0.4, 0.1, 9]),
      explained: array([0.9, 0.08]),
    },
    evaluations: 441,
    vectorised: true,
    ...over,
  };
}

describe("a loss landscape", () => {
  it("has one range for all moments of a replay", () => {
    const high = landscape({
      loss: array(
        Array.from({ length: 441 }, (_, at) => 7 + at / 441),
        [21, 21],
      ),
    });
    const grids = [landscape(), high].map((one) => gridOf(one, false));
    expect(commonDomain(grids)).toEqual([0.1, 7 + 440 / 441]);
    expect(commonDomain(grids.slice(0, 1))).toEqual(domainOf(grids[0]!));
    const shown = show(LossLandscape, { result: landscape(), series: [landscape(), high] });
    expect(shown.querySelector('[role="slider"], [role="img"]')?.outerHTML).toContain("from 0.1 to 8;");
  });

  it("is drawn in logarithms where the losses span much", () => {
    expect(spansMuch(landscape())).toBe(true);
    const grid = gridOf(landscape(), true);
    expect(domainOf(grid)[0]).toBeCloseTo(-1, 12);
    expect(domainOf(grid)[1]).toBeCloseTo(Math.log10(5.1), 12);
    expect(spansMuch(landscape({ loss: array([1, 2, 3, NaN], [2, 2]) }))).toBe(false);
  });

  it("has the checkpoints that lie on it, with stems from the surface to their own loss", () => {
    const path = pathOf(landscape());
    expect(path.map(({ s }) => s)).toEqual([-0.9, -0.3, 0]);
    const [ground, own] = stemOf(gridOf(landscape(), false), path[0]!, false)!;
    expect(ground).toBeCloseTo(0.1 + 0.81 + 0.64, 9);
    expect(own).toBe(1.6);
  });

  it("says nothing of a path that stands upright on it", () => {
    expect(isOffPlane(landscape())).toBe(false);
    const path = { ...landscape().path!, distance: array([1, 0.4, 0, 7]) };
    expect(isOffPlane(landscape({ path }))).toBe(true);
    expect(isOffPlane(landscape({ path: null }))).toBe(false);
  });

  it("equals its parabola along an axis where it is one", () => {
    for (const axis of [0, 1]) {
      const { loss, parabola } = cutOf(landscape(), axis);
      for (let index = 0; index < loss.length; index++) expect(parabola![index]).toBeCloseTo(loss[index]!, 9);
    }
    expect(cutOf(landscape({ curvatures: array([NaN, NaN, NaN, NaN], [2, 2]) }), 0).parabola).toBeNull();
  });

  it("knows its lowest point, and what overflowed", () => {
    expect(lowestOf(landscape()).loss).toBeCloseTo(0.1, 12);
    const data = array([NaN, 2, Infinity, 1], [2, 2]);
    const broken = landscape({ s: array([0, 1]), t: array([0, 1]), loss: data });
    expect(lowestOf(broken)).toEqual({ s: 1, t: 1, loss: 1 });
    expect(notFinite(broken)).toBe(2);
    expect(lowestOf(landscape({ loss: array([NaN]) })).loss).toBe(0.1);
    expect(sayWhere(landscape({ directions: "random", normalization: "filter" }))).toContain("Li et al. 2018");
  });

  it("shows the map alone where the browser draws no surfaces", () => {
    const page = show(LossLandscape, { result: landscape() });
    flushSync();
    expect(page.querySelector('[role="slider"][aria-label*="Loss over component 1 and component 2"]')).not.toBeNull();
    expect(page.textContent).toContain("draws nothing in three dimensions");
    expect(page.textContent).toContain("98.0 %");
    expect(page.textContent).toContain("Not moved by any direction: norm.weight");
  });

  it("is a curve along one direction", () => {
    const line = landscape({
      dimensions: 1,
      directions: "random",
      labels: ["random direction"],
      t: array([0]),
      loss: array(
        Array.from({ length: 21 }, (_, index) => 0.1 + (-1 + index / 10) ** 2),
        [1, 21],
      ),
      slopes: array([0]),
      curvatures: array([2], [1, 1]),
      path: null,
    });
    const page = show(LossLandscape, { result: line });
    expect(page.textContent).toContain("Along random direction");
    expect(page.querySelectorAll(".map")).toHaveLength(0);
  });
});

function curvature(over: Partial<CurvatureResult> = {}): CurvatureResult {
  return {
    schema: "curvature/1",
    matrix: "hessian",
    loss_name: "cross_entropy",
    parameters: 100,
    examples: 50,
    precision: "float64",
    loss: 0.3,
    gradient_norm: 0.01,
    eigenvalues: array([30, 12]),
    residuals: array([0.5, 0.1]),
    checked_residual: 0.5,
    bounds: array([0.02, 0.001]),
    smallest: array([-2]),
    smallest_residuals: array([0.3]),
    converged: true,
    tolerance: 1e-4,
    trace: 55,
    trace_error: 3,
    density: {
      grid: array([-1, 0, 1, 2]),
      density: array([1e-12, 1, 0.5, 0.1]),
      error: array([NaN, 0.1, 0.1, 0.2]),
      width: 0.1,
      nodes: array([0, 1], [1, 2]),
      weights: array([0.5, 0.5], [1, 2]),
      negative: 0.1,
      negative_error: 0.01,
      zero: 1e-6,
    },
    learning_rate: 0.1,
    stability_limit: 2,
    eigenvectors: {},
    products: { eigenvalues: 8, trace: 20 },
    retained: true,
    ...over,
  };
}

describe("curvature", () => {
  it("lists the eigenvalues once each, with lr·λ", () => {
    expect(eigenvaluesOf(curvature()).map(({ rank, step }) => [rank, Math.round(step * 10) / 10])).toEqual([
      ["1", 3],
      ["2", 1.2],
      ["−1", -0.2],
    ]);
    const both = curvature({ eigenvalues: array([3, 1]), smallest: array([1]) });
    expect(eigenvaluesOf(both)).toHaveLength(2);
    expect(spanOf(eigenvaluesOf(curvature()))).toEqual([-2.3, 30.5]);
    expect(stabilityOf(curvature({ learning_rate: null }))).toBeNaN();
  });

  it("bands the density by its error, and leaves out what a logarithmic axis cannot hold", () => {
    const curve = densityCurve(curvature().density!);
    expect(Array.from(curve.density)).toEqual([NaN, 1, 0.5, 0.1]);
    expect(curve.high[2]).toBeCloseTo(0.6, 12);
    expect(curve.low[3]).toBe(curve.range[0]); // the error reaches below zero
  });

  it("says that a step overshoots beyond the limit, and that a direction falls", () => {
    const page = show(Curvature, { result: curvature() });
    expect(page.textContent).toContain("steps along it overshoot");
    expect(page.textContent).toContain("a direction curves downwards");
    expect(page.querySelector('[role="img"][aria-label="lr·λ₁ is 3; the limit is 2"]')).not.toBeNull();
    expect(page.textContent).toContain("± 3");
  });

  it("does without a learning rate, a trace and a density", () => {
    const bare = curvature({
      learning_rate: null,
      trace: null,
      trace_error: null,
      density: null,
      smallest: array([1]),
    });
    const page = show(Curvature, { result: bare });
    expect(page.textContent).not.toContain("overshoot");
    expect(page.textContent).not.toContain("lr·λ");
    expect(page.textContent).toContain("nothing curves downwards");
  });
});

/** L = |w − 1| + w²: a bend at 1. */
function curve(over: Partial<CurveResult> = {}): CurveResult {
  const weight = [-2, 0, 1, 3];
  return {
    schema: "weight_curve/1",
    parameter: "fc1.weight",
    index: [3, 7],
    loss_name: "mse",
    examples: 2,
    exact: true,
    reason: "",
    value: 0,
    loss_here: 1,
    slope_here: -1,
    weight: array(weight),
    loss: array(weight.map((w) => Math.abs(w - 1) + w * w)),
    slope_left: array([NaN, -1, 1, 7]),
    slope_right: array([-5, -1, 3, NaN]),
    interpolation_error: 0,
    agreement: 1e-15,
    bend_weight: array([1]),
    bend_example: array([4]),
    bend_unit: array([3]),
    bend_module: array([0]),
    modules: ["relu1"],
    bends_left_out: 0,
    ...over,
  };
}

describe("a weight's curve", () => {
  it("is read exactly between its points, where it is quadratic", () => {
    for (const w of [-2, -1.3, 0.4, 1, 2.2, 3]) {
      expect(readAt(curve(), w).loss).toBeCloseTo(Math.abs(w - 1) + w * w, 12);
    }
    expect(readAt(curve(), 0.4).slope).toBeCloseTo(-1 + 0.8, 12);
    expect(readAt(curve(), 2.2).slope).toBeCloseTo(1 + 4.4, 12);
    expect(readAt(curve(), 3.01).loss).toBeNaN();
  });

  it("is drawn with both slopes at a bend", () => {
    const { weight, slope } = samplesOf(curve(), 300);
    const at = weight.map((w, index) => [w, slope[index]!] as const).filter(([w]) => Math.abs(w - 1) < 1e-12);
    expect(at.map(([, s]) => Math.round(s * 1e6) / 1e6)).toEqual([1, 3]);
  });

  it("is thinned to what a screen shows, however many bends there are", () => {
    const many = Array.from({ length: 20_000 }, (_, index) => index / 19_999);
    const flat = curve({
      weight: array(many),
      loss: array(many),
      slope_left: array(many.map(() => 1)),
      slope_right: array(many.map(() => 1)),
    });
    const { weight, loss } = samplesOf(flat, 500);
    expect(weight.length).toBeLessThan(2200);
    expect(weight[weight.length - 1]).toBe(1);
    expect(loss[loss.length - 1]).toBe(1);
  });

  it("finds its bends and its lowest point", () => {
    expect(nearestBend(array([1, 2, 5]).data, 2.2, 0.5)).toBe(1);
    expect(nearestBend(array([1, 2, 5]).data, 3.5, 0.5)).toBe(-1);
    expect(nearestBend([], 0, 1)).toBe(-1);
    expect([...countBends(curve(), 5)[0]!]).toEqual([0, 0, 0, 1, 0]);
    expect(lowestWeight(curve())).toEqual({ weight: 0, loss: 1 });
    expect(
      svgPath(
        [0, 1, 2],
        [1, NaN, 3],
        (v) => v,
        (v) => v,
      ),
    ).toBe("M0.0 1.0M2.0 3.0");
  });

  it("names weight and slope, and goes from point to point by key", () => {
    const page = show(WeightCurve, { result: curve() });
    expect(page.textContent).toContain("fc1.weight[3, 7]");
    const plot = page.querySelector<HTMLElement>('[role="slider"]')!;
    plot.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    flushSync();
    expect(plot.getAttribute("aria-valuetext")).toContain("relu1 unit 3 switches for example 4");
    expect(show(WeightCurve, { result: curve({ exact: false, reason: "silu is smooth" }) }).textContent).toContain(
      "Sampled: silu is smooth",
    );
  });
});

/** Two regions of f(x) = |x₀| + 2 x₁: x₀ < 0 and x₀ > 0. */
function models(over: Partial<ModelsResult> = {}): ModelsResult {
  const points = [
    [1, 0],
    [2, 1],
    [3, -1],
    [-1, 0],
    [-2, 1],
  ] as const;
  const empty = array([]);
  return {
    schema: "local_linear_models/1",
    model: "Net",
    task: "regression",
    features: ["left", "right"],
    outputs: ["y"],
    classes: [],
    shape: [2],
    layers: [{ name: "relu", op: "relu", bits: 4, never_on: 1, always_on: 1 }],
    data: {
      name: "data",
      points: array(points.flat(), [5, 2]),
      target: empty,
      output: array(
        points.map(([a, b]) => Math.abs(a) + 2 * b),
        [5, 1],
      ),
      region: array([0, 0, 0, 1, 1]),
    },
    held_out: null,
    unvisited: [],
    patterns: array([], [2, 0]),
    coefficients: array([1, 2, -1, 2], [2, 1, 2]),
    intercepts: array([0, 0], [2, 1]),
    support: array([3, 2]),
    representative: array([0, 3]),
    metric_names: ["r2"],
    metrics: array([1, NaN], [2, 1]),
    overall: array([0.9]),
    class_balance: array([], [2, 0]),
    error: 1e-16,
    inside_error: 2e-16,
    inside_distance: 0.1,
    output_scale: 4,
    settings: {},
    simplified: [
      {
        method: "tree",
        refit: "network",
        groups: 2,
        rules: ["left ≤ 0", "left > 0"],
        fidelity: [
          { where: "data", points: 5, agreement: NaN, r2: 1, largest_error: 0, score: 0.9, network_score: 0.9 },
          {
            where: "unvisited cells",
            points: 9,
            agreement: NaN,
            r2: -0.4,
            largest_error: 3,
            score: NaN,
            network_score: NaN,
          },
        ],
      },
    ],
    ...over,
  };
}

describe("local linear models", () => {
  it("weigh features by deviation and coefficients over all regions", () => {
    const scales = scalesOf(models());
    expect(scales[0]).toBeCloseTo(Math.sqrt((0.16 + 1.96 + 5.76 + 2.56 + 6.76) / 5), 9); // mean 0.6
    const [first, second] = importanceOf(models(), 0, scales);
    expect([first?.name, second?.name]).toEqual(["left", "right"]);
    expect(first!.share + second!.share).toBeCloseTo(1, 12);
    expect(first!.share / second!.share).toBeCloseTo((scales[0]! * 1) / (scales[1]! * 2), 9);
    expect(first!.effect).toBeCloseTo(scales[0]! * 0.2, 9); // 3/5 − 2/5
    expect(first!.spread).toBeCloseTo(scales[0]! * Math.sqrt(0.96), 9);
    expect(second!.spread).toBeCloseTo(0, 6);
  });

  it("take the mean over the classes off, which a softmax does not see", () => {
    const same = models({
      task: "multiclass",
      outputs: ["a", "b"],
      coefficients: array([1, 2, 1, 0, 1, 2, 1, 0], [2, 2, 2]),
    });
    const [first, second] = importanceOf(same, 0, [1, 1]);
    expect([first?.name, first?.share, second?.share]).toEqual(["right", 1, 0]);
  });

  it("have lines over their own examples, and a common effect that is the true one", () => {
    const { segments, grid, effect } = profileOf(models(), 0, 0);
    expect(segments.map(({ region, slope }) => [region, slope])).toEqual([
      [0, 1],
      [1, -1],
    ]);
    expect(segments[0]!.from[0]).toBe(1);
    expect(segments[0]!.from[1]).toBeCloseTo(1, 12); // the mean output of 2 at the mean place of 2, less the slope
    expect(grid).toEqual([-2, -1, 1, 2, 3]);
    const at = (value: number): number => effect[grid.indexOf(value)]!;
    expect(at(-2) - at(-1)).toBeCloseTo(1, 12);
    expect(at(3) - at(1)).toBeCloseTo(2, 12);
    expect([1, 2, 3, -1, -2].reduce((sum, value) => sum + at(value), 0)).toBeCloseTo(0, 12);
  });

  it("are drawn as lines through the features asked for", () => {
    expect([...linesOf(models(), 0, [1, 0], null, 10)]).toEqual([2, 1, 2, -1]);
    expect([...linesOf(models(), 0, [1, 0], [10, 100], 1)]).toEqual([200, 10]);
    expect([...(coefficientsOf(models(), 1, 0) as Float64Array)]).toEqual([-1, 2]);
  });

  it("are told, followed from the table, and simplified with their fidelity", () => {
    const page = show(LocalLinearModels, { result: models() });
    expect(page.textContent).toContain("for 5 examples");
    expect(page.textContent).toContain("2 rules of a tree");
    expect(page.textContent).toContain("left ≤ 0");
    expect(page.textContent).toContain("0.9 (network 0.9)");
    const rows = [...page.querySelectorAll<HTMLElement>("tr.opens")];
    rows[1]!.click();
    flushSync();
    expect(page.textContent).toContain("Region 2, 2 examples");
    expect(
      page.querySelector('[aria-label^="Coefficients of 2 local models"]')!.getAttribute("aria-valuetext"),
    ).toContain("region 2, 2 examples");
  });
});

function jacobian(over: Partial<JacobianResult> = {}): JacobianResult {
  return {
    schema: "input_jacobian/1",
    model: "Net",
    input_shape: [1, 2],
    output_shape: [1, 2],
    input: array([1, 2], [1, 2]),
    output: array([3.5, 2], [1, 2]),
    linear_part: array([3, 2], [1, 2]),
    bias_part: array([0.5, 0], [1, 2]),
    bias_share: 0.12,
    matrix: array([3, 0, 0, 1], [2, 2]),
    singular_values: array([3, 1]),
    left: array([1, 0, 0, 1], [2, 2]),
    right: array([1, 0, 0, 1], [2, 2]),
    complete: true,
    residual: 0,
    frobenius_norm: Math.sqrt(10),
    frobenius_error: 0,
    entropy_rank: 1.75,
    stable_rank: 10 / 9,
    rank: 2,
    precision: "float64",
    products: 4,
    eigenbasis: null,
    output_names: ["cat", "dog"],
    feature_names: ["height", "width"],
    ...over,
  };
}

describe("a Jacobian", () => {
  it("splits each output into J x and the rest", () => {
    for (const { linear, bias, output } of splitOf(jacobian())) expect(linear + bias).toBe(output);
    expect(strongest([1, -3, 2], ["a", "b", "c"], 2)).toEqual([
      { label: "b", value: -3 },
      { label: "c", value: 2 },
    ]);
    expect([...(rowOf(jacobian().matrix, 1) as Float64Array)]).toEqual([0, 1]);
  });

  it("says what it stretches, by name", () => {
    const page = show(InputJacobian, { result: jacobian() });
    expect(page.textContent).toContain("2 → 2");
    expect(page.textContent).toContain("12.0 %");
    expect(page.querySelector('.entries[aria-label^="height 1"]')).not.toBeNull();
    expect(page.textContent).toContain("→ cat 1");
  });

  it("shows the eigenvectors of an image-to-image map as pictures", () => {
    const identity = Array.from({ length: 16 }, (_, index) => (index % 5 === 0 ? 1 : 0));
    const page = show(InputJacobian, {
      result: jacobian({
        input_shape: [1, 1, 2, 2],
        output_shape: [1, 1, 2, 2],
        input: array([1, 2, 3, 4], [1, 1, 2, 2]),
        output: array([1, 2, 3, 4], [1, 1, 2, 2]),
        linear_part: array([1, 2, 3, 4], [1, 1, 2, 2]),
        bias_part: array([0, 0, 0, 0], [1, 1, 2, 2]),
        matrix: array(identity, [4, 4]),
        left: array(identity, [4, 4]),
        right: array(identity, [4, 4]),
        singular_values: array([1, 1, 1, 1]),
        eigenbasis: {
          values: array([1, 1]),
          vectors: array(identity.slice(0, 8), [2, 4]),
          input_parts: array([1, 0]),
          output_parts: array([0.5, 0.2]),
          residual: 0,
          complete: true,
          asymmetry: 0,
          real: array([1]),
          imaginary: array([0]),
          dimensions: 4,
          dimensions_error: 0,
        },
      }),
    });
    expect(page.querySelectorAll('[role="img"][aria-label^="Eigenvector"]')).toHaveLength(2);
    expect(page.textContent).toContain("(× 0.5)");
    const own = { values: array([1]), input_parts: array([0, 1]), output_parts: array([1, 1]) };
    expect(keptShare(jacobian({ eigenbasis: own as unknown as JacobianResult["eigenbasis"] }), 0)).toBeNaN();
  });
});

it("names losses as they are spoken of", () => {
  expect(sayLoss("CrossEntropyLoss")).toBe("cross entropy loss");
  expect(sayLoss("mse_loss")).toBe("mean squared error loss");
});
