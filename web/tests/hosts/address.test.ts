import { describe, expect, it } from "vitest";
import { DEFAULT_STATE, readPlace, readState, writeAddress, type ViewState } from "../../hosts/page/address";

function roundTrip(state: Partial<ViewState>): ViewState {
  const address = new URL(writeAddress({ page: "run", id: "r" }, { ...DEFAULT_STATE, ...state }), "http://localhost");
  return readState(address.search);
}

describe("the state of the views in the address", () => {
  it.each<[string, Partial<ViewState>]>([
    ["a tab and a layer", { tab: "layers", layer: "stages.0.conv & more?#" }],
    ["step 0", { step: 0 }],
    ["a late step", { step: 123_456 }],
    ["switches", { log: true, logGradient: false }],
    ["a stop of a trace", { tab: "trace", example: 0, position: 17, speed: 4, selected: "value:12:3,7" }],
    ["a measure, its moment and what is set in its view", { kind: "x_test", step: 4, view: { unit: 3, layer: "a.b" } }],
    ["no smoothing", { smoothing: 0 }],
    ["numbers and axes", { smoothing: 0.87, axis: "time" }],
    [
      "texts",
      { search: "größe = 1 + 1", sort: "-validation_accuracy", metric: "validation/log_loss", chosenClass: "a,b" },
    ],
    ["runs, even with commas in their names", { runs: ["a", "b,c", "d%20e"] }],
  ])("keeps %s", (_, state) => {
    expect(roundTrip(state)).toEqual({ ...DEFAULT_STATE, ...state });
  });

  it("leaves defaults out", () => {
    expect(writeAddress({ page: "run", id: "a b" }, DEFAULT_STATE)).toBe("/runs/a%20b");
    expect(writeAddress({ page: "runs" }, { search: "x" })).toBe("/?q=x");
  });

  it("takes nonsense for the default", () => {
    expect(readState("?tab=nonsense&step=-3&smooth=7&x=&log=yes&runs=,,")).toEqual({ ...DEFAULT_STATE });
    expect(readState("?step=abc&smooth=")).toEqual(DEFAULT_STATE);
    expect(readState("?example=-1&position=1.5&speed=0")).toEqual(DEFAULT_STATE);
  });
});

describe("places", () => {
  it("are read from paths", () => {
    expect(readPlace("/")).toEqual({ page: "runs" });
    expect(readPlace("/compare")).toEqual({ page: "compare" });
    expect(readPlace("/runs/2024%2F1")).toEqual({ page: "run", id: "2024/1" });
    expect(readPlace("/runs/%E0%A4%A")).toEqual({ page: "run", id: "%E0%A4%A" });
    expect(readPlace("/else")).toEqual({ page: "missing", path: "/else" });
  });
});
