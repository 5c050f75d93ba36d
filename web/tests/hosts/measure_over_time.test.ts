import { flushSync, mount, unmount } from "svelte";
import { afterEach, describe, expect, it, vi } from "vitest";
import MeasureOverTime from "../../hosts/MeasureOverTime.svelte";
import { advance, MomentCache } from "../../hosts/moments";
import { measuredIn, type AnyResult } from "../../hosts/results";
import type { Settings } from "../../hosts/view_settings";
import { geometryResult } from "../views/geometry_result";

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
afterEach(async () => {
  if (mounted) await unmount(mounted);
  mounted = null;
});

const value = (): string => document.body.querySelector(".tile-grid .value")?.textContent ?? "";
/** The view and its result come by themselves. */
const drawn = (): Promise<void> => vi.waitFor(() => expect(value()).not.toBe(""), { timeout: 5000 });

describe("a measure over time", () => {
  it("binds what its view keeps in the address", async () => {
    const cache = new MomentCache(() => Promise.resolve(geometryResult("calibration") as AnyResult));
    const [measured] = measuredIn("geometry", [{ name: "calibration_test", schema: "calibration/1" }]);
    let settings: Settings = { binning: "mass" };
    const props = {
      measured: measured!,
      cache,
      get settings() {
        return settings;
      },
      set settings(next: Settings) {
        settings = next;
      },
    };
    mounted = mount(MeasureOverTime, { target: document.body, props });
    await drawn();
    const buttons = [...document.body.querySelectorAll("button, input")] as (HTMLButtonElement | HTMLInputElement)[];
    const width = buttons.find((one) => one.closest("label, button")?.textContent?.includes("equal width"));
    expect(width).toBeDefined();
    width!.click();
    flushSync();
    expect(settings).toEqual({}); // equal width is as usual
  });

  it("fetches a result again once it was replaced, and once only", async () => {
    const read = vi.fn(() => Promise.resolve(geometryResult("calibration") as AnyResult));
    const cache = new MomentCache(read);
    await cache.get("calibration_test", "1-9");
    await cache.get("calibration_test", "1-9");
    expect(read).toHaveBeenCalledTimes(1);
    await cache.get("calibration_test", "2-9");
    expect(read).toHaveBeenCalledTimes(2);
  });

  it("walks the moments by the slider, and gives a smooth view all of them", async () => {
    const read = (name: string) =>
      Promise.resolve(geometryResult(name.endsWith("0000") ? "class_geometry_early" : "class_geometry") as AnyResult);
    const [measured] = measuredIn("geometry", [
      { name: "class_geometry_train", schema: "class_geometry/1" },
      { name: "class_geometry_train_epoch_0000", schema: "class_geometry/1" },
    ]);
    expect(measured?.label).toBe("Classes (train)");
    mounted = mount(MeasureOverTime, {
      target: document.body,
      props: { measured: measured!, cache: new MomentCache(read) },
    });
    await drawn();
    const slider = document.body.querySelector("input[type=range]") as HTMLInputElement;
    expect(slider.getAttribute("aria-valuetext")).toBe("final");
    const final = value();
    slider.value = "0";
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    flushSync();
    expect(slider.getAttribute("aria-valuetext")).toBe("epoch 0");
    await vi.waitFor(() => expect(value()).not.toBe(final));
  });

  it("names a scaling beside the split", () => {
    const [measured] = measuredIn("geometry", [{ name: "calibration_test_temperature", schema: "calibration/1" }]);
    expect(measured?.label).toBe("Calibration (test, temperature)");
  });
});

describe("a move between moments", () => {
  it("gets nearer and arrives, however long the frames are", () => {
    for (const frame of [4, 16, 100]) {
      let [at, steps] = [0, 0];
      for (; at !== 3 && steps < 1000; steps++) {
        const next = advance(at, 3, frame);
        expect(next).toBeGreaterThan(at);
        at = next;
      }
      expect(at).toBe(3);
      expect(steps * frame).toBeLessThan(1100);
    }
  });
});
