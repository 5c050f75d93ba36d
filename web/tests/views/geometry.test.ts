import { flushSync, mount, unmount, type Component } from "svelte";
import { afterEach, describe, expect, it, vi } from "vitest";
import type {
  Calibration as CalibrationResult,
  ClassGeometry as ClassResult,
  InformationPlane as InformationResult,
  LayerCollapse as LayerResult,
  Margins as MarginsResult,
  NeuralCollapse as CollapseResult,
  RegressionCollapse as RegressionResult,
  Robustness as RobustnessResult,
} from "../../api/types";
import { formatNumber, formatPercent } from "../../parts/format";
import Calibration from "../../views/Calibration.svelte";
import ClassGeometry from "../../views/ClassGeometry.svelte";
import InformationPlane from "../../views/InformationPlane.svelte";
import LayerCollapse from "../../views/LayerCollapse.svelte";
import Margins from "../../views/Margins.svelte";
import NeuralCollapse from "../../views/NeuralCollapse.svelte";
import RegressionCollapse from "../../views/RegressionCollapse.svelte";
import Robustness from "../../views/Robustness.svelte";
import { drawnAt, drawnIn } from "../../views/class_geometry/motion";
import { geometryResult } from "./geometry_result";

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

let mounted: Record<string, unknown> | null = null;
function show<Props extends Record<string, unknown>>(view: Component<Props>, props: Props): string {
  document.body.replaceChildren();
  mounted = mount(view, { target: document.body, props });
  flushSync();
  return document.body.textContent!.replaceAll(/\s+/g, " ");
}
afterEach(async () => {
  if (mounted) await unmount(mounted);
  mounted = null;
});

describe("the class geometry", () => {
  const early = geometryResult<ClassResult>("class_geometry_early");
  const late = geometryResult<ClassResult>("class_geometry");

  it("tells gap, likeness and features of every class", () => {
    const text = show(ClassGeometry, { result: late });
    expect(text).toContain(formatNumber(late.gap, 3));
    for (const name of late.class_names) expect(text).toContain(name);
    expect(document.querySelector("canvas")?.getAttribute("aria-label")).toContain("4 class centres");
  });

  it("draws another moment in the last one's frame", () => {
    const drawn = drawnIn(early, late);
    const [classes, axes] = [4, late.axes.data];
    const naive = Array.from({ length: classes * 3 }, (_, at) => {
      const [row, axis] = [Math.floor(at / 3), at % 3];
      return [0, 1, 2, 3].reduce(
        (sum, k) => sum + Number(early.places.data[row * classes + k]) * Number(axes[3 * k + axis]),
        0,
      );
    });
    drawn.centres.forEach((value, at) => expect(value).toBeCloseTo(naive[at]!, 9));
    expect(drawn.points.length).toBe(early.points.data.length);
    expect([...drawn.ideal]).toEqual([...late.ideal.data]);
    const own = drawnIn(late, late);
    expect([...own.centres]).toEqual([...late.centres.data]);
    // The distances of the picture are those of class space in these axes: with four classes nothing is lost.
    const far = (points: ArrayLike<number | bigint>, width: number, a: number, b: number): number =>
      Math.hypot(
        ...Array.from({ length: width }, (_, at) => Number(points[a * width + at]) - Number(points[b * width + at])),
      );
    expect(far(drawn.centres, 3, 0, 2)).toBeCloseTo(far(early.places.data, 4, 0, 2), 9);
  });

  it("moves points in straight lines from one moment to the next", () => {
    const moments = [drawnIn(early, late), drawnIn(late, late)];
    const [from, to] = moments as [(typeof moments)[0], (typeof moments)[0]];
    expect(drawnAt(moments, 0)).toBe(from);
    expect(drawnAt(moments, 1)).toBe(to);
    const half = drawnAt(moments, 0.25)!;
    half.points.forEach((value, at) => expect(value).toBeCloseTo(0.75 * from.points[at]! + 0.25 * to.points[at]!, 9));
    half.centres.forEach((value, at) =>
      expect(value).toBeCloseTo(0.75 * from.centres[at]! + 0.25 * to.centres[at]!, 9),
    );
    expect(drawnAt([], 0)).toBeNull();
  });

  it("jumps where two moments do not show the same examples", () => {
    const others = { ...drawnIn(early, late), pointClasses: [0, 1] };
    expect(drawnAt([others, drawnIn(late, late)], 0.4)).toBe(others);
  });

  it("is turned by the arrow keys, which its owner hears of", () => {
    const heard: (readonly number[])[] = [];
    const props = {
      result: late,
      get angle(): readonly number[] {
        return heard.at(-1) ?? [0.6, 0.35];
      },
      set angle(next: readonly number[]) {
        heard.push(next);
      },
    };
    show(ClassGeometry, props);
    document.querySelector("canvas")!.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    expect(heard[0]?.[0]).toBeCloseTo(0.7, 12);
  });
});

describe("the calibration", () => {
  it("tells the figures, binned as asked", () => {
    const result = geometryResult<CalibrationResult>("calibration");
    const text = show(Calibration, { result });
    for (const name of ["ece", "mce", "classwise_ece"] as const)
      expect(text).toContain(formatPercent(result.figures[name], 2));
    expect(text).not.toContain("Before");
  });

  it("stands before and after a scaling", () => {
    const result = geometryResult<CalibrationResult>("calibration_scaled");
    const text = show(Calibration, { result });
    expect(text).toContain("temperature scaling");
    expect(text).toContain(formatPercent(result.scaling!.before.ece, 2));
    expect(text).toContain(formatPercent(result.figures.ece, 2));
    expect(text).toContain("Before");
  });
});

describe("the other views of geometry", () => {
  it("tell how far features collapsed", () => {
    const result = geometryResult<CollapseResult>("neural_collapse");
    const text = show(NeuralCollapse, { result });
    const nc1 = result.quantities.find(({ name }) => name === "nc1")!;
    expect(text).toContain(formatNumber(nc1.value, 3));
    expect(text).toContain("NC4");
  });

  it("tell the same of a regression", () => {
    const result = geometryResult<RegressionResult>("regression_collapse");
    const text = show(RegressionCollapse, { result });
    expect(text).toContain(formatNumber(result.error, 4));
    expect(text).toContain("of a single target it says nothing");
    expect(text).not.toContain("NaN");
  });

  it("tell the law of separation, and draw the measure chosen", () => {
    const result = geometryResult<LayerResult>("layer_collapse");
    const text = show(LayerCollapse, { result, quantity: "nonsense" });
    expect(text).toContain(`ρ = ${formatNumber(result.decay, 3)}`);
    for (const layer of result.layers) expect(text).toContain(layer.name);
  });

  it("tell margins by class", () => {
    const result = geometryResult<MarginsResult>("margins");
    const text = show(Margins, { result });
    for (const one of result.summaries.filter(({ measured }) => measured)) expect(text).toContain(one.label);
    for (const name of result.class_names) expect(text).toContain(name);
  });

  it("tell the accuracy that is left under every attack", () => {
    const result = geometryResult<RobustnessResult>("robustness");
    const text = show(Robustness, { result });
    for (const curve of result.curves) expect(text).toContain(curve.label);
  });

  it("draw the information plane by the estimator chosen, with what decides it", () => {
    const result = geometryResult<InformationResult>("information_plane");
    for (const estimator of ["kernel", "bins"] as const) {
      const text = show(InformationPlane, { result, estimator });
      expect(text).toContain(`σ² = ${formatNumber(result.noise, 3)}`);
      expect(document.querySelectorAll("svg circle").length).toBeGreaterThanOrEqual(2 * result.layers.length);
    }
  });
});
