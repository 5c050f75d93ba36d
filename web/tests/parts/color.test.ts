import { describe, expect, it } from "vitest";
import { diverging, inkOn, luminance, rampColor, rampTable, sequential, toCss, type Rgb } from "../../parts/color";

const GRID = Array.from({ length: 257 }, (_, index) => index / 256);

/** CIE L*, from the definition: what the eye takes for lightness. */
function lightness(color: Rgb): number {
  const y = luminance(color);
  return y > (6 / 29) ** 3 ? 116 * Math.cbrt(y) - 16 : (y * 29 ** 3) / 27;
}

/** As a deuteranope sees it (Viénot, Brettel and Mollon 1999), in linear light. */
function deuteranope([red, green, blue]: Rgb): [number, number, number] {
  const [r, g, b] = [red, green, blue].map((value) => (value / 255) ** 2.2) as [number, number, number];
  const seen = [0.29275 * r + 0.70725 * g, 0.29275 * r + 0.70725 * g, -0.02234 * r + 0.02234 * g + b];
  return seen.map((value) => 255 * Math.max(0, value) ** (1 / 2.2)) as [number, number, number];
}

describe.each([false, true])("ramps (dark: %s)", (dark) => {
  it("sequential changes lightness steadily in one direction", () => {
    const values = GRID.map((t) => lightness(sequential(t, dark)));
    const steps = values.slice(1).map((value, index) => (value - (values[index] ?? 0)) * (dark ? 1 : -1));
    expect(Math.min(...steps)).toBeGreaterThan(-0.4); // bytes are rounded
    for (let index = 16; index < values.length; index += 16) {
      const rise = Math.abs((values[index] ?? 0) - (values[index - 16] ?? 0));
      expect(rise).toBeGreaterThan(2.5);
      expect(rise).toBeLessThan(6.5);
    }
  });

  it("diverging is neutral at 0, and goes the same way on both sides", () => {
    const [red, green, blue] = diverging(0, dark);
    expect(Math.max(red, green, blue) - Math.min(red, green, blue)).toBeLessThan(8);
    for (const size of [0.2, 0.4, 0.6, 0.8, 1]) {
      expect(Math.abs(lightness(diverging(size, dark)) - lightness(diverging(-size, dark)))).toBeLessThan(6);
    }
    const right = GRID.map((t) => lightness(diverging(t, dark)) * (dark ? -1 : 1));
    expect(right.every((value, index) => index === 0 || value <= (right[index - 1] ?? 0) + 0.4)).toBe(true);
  });

  it("the ends of diverging differ for a deuteranope too", () => {
    const [cold, warm] = [deuteranope(diverging(-1, dark)), deuteranope(diverging(1, dark))];
    expect(Math.hypot(cold[0] - warm[0], cold[1] - warm[1], cold[2] - warm[2])).toBeGreaterThan(60);
  });

  it("ink reads on every colour of it", () => {
    for (const t of GRID) {
      const color = sequential(t, dark);
      const ink = inkOn(color) === "#ffffff" ? 1 : 0;
      const [high, low] = [Math.max(luminance(color), ink), Math.min(luminance(color), ink)];
      expect((high + 0.05) / (low + 0.05)).toBeGreaterThan(4.5);
    }
  });

  it("the table holds the ramp's colours", () => {
    const table = rampTable("diverging", dark);
    expect([...table.slice(0, 4)]).toEqual([...rampColor("diverging", 0, dark), 255]);
    expect([...table.slice(-4)]).toEqual([...rampColor("diverging", 1, dark), 255]);
  });
});

describe("colours", () => {
  it("clamp what lies outside and mark NaN", () => {
    expect(sequential(7)).toEqual(sequential(1));
    expect(diverging(-3)).toEqual(diverging(-1));
    expect(sequential(NaN)).toEqual([136, 136, 136]);
  });

  it("are written as CSS", () => {
    expect(toCss([1, 2, 3])).toBe("rgb(1 2 3)");
    expect(toCss([1, 2, 3], 0.5)).toBe("rgb(1 2 3 / 0.5)");
  });
});
