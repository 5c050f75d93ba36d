import { describe, expect, it } from "vitest";
import { boundSettings, readSettings, writeSettings, type Settings } from "../../hosts/view_settings";

describe("what is set in a view, as text", () => {
  it.each<[string, Settings, string]>([
    ["a number and a word", { unit: 3, layer: "fc2" }, "unit:3,layer:fc2"],
    ["switches and nothing", { edges: false, at: null }, "edges:false,at:null"],
    ["numbers", { angle: [0.6, -1.25] }, "angle:[0.6;-1.25]"],
    ["a word that looks like a number", { output: "7", sort: "-p,1:2" }, "output:'7,sort:-p%2C1%3A2"],
  ])("keeps %s", (_, settings, text) => {
    expect(writeSettings(settings)).toBe(text);
    expect(readSettings(text)).toEqual(settings);
  });

  it.each(["", "null", "true", "-1e9", "[1;2]", "'x", "größe & mehr", "a:b,c", "%", "1.5"])(
    "brings the text %j back as a text",
    (value) => {
      expect(readSettings(writeSettings({ value }))).toEqual({ value });
    },
  );

  it("leaves out what makes no sense, and rounds what a hand set", () => {
    expect(readSettings("x,:3,a:1,b:[1;x],%:2,__proto__:1")).toEqual({ a: 1 });
    expect(writeSettings({ turn: 0.123456 })).toBe("turn:0.1235");
  });
});

describe("settings as properties", () => {
  let kept: Settings = { unit: "three", layer: "fc2", other: 1 };
  const bound = boundSettings(
    { unit: -1, layer: "", at: null, angle: [0, 0] },
    () => kept,
    (next) => (kept = next),
  );

  it("give what is set if it is of the usual kind, else what is usual", () => {
    expect({ ...bound }).toEqual({ unit: -1, layer: "fc2", at: null, angle: [0, 0] });
    kept = { at: 2.5, angle: [1, 2, 3], layer: "fc2", other: 1 };
    expect({ ...bound }).toEqual({ unit: -1, layer: "fc2", at: 2.5, angle: [0, 0] });
  });

  it("take what the view sets, and forget what is usual", () => {
    bound.unit = 4;
    bound.angle = [1, 2];
    expect(kept).toEqual({ at: 2.5, angle: [1, 2], layer: "fc2", other: 1, unit: 4 });
    bound.layer = "";
    bound.angle = [0, 0];
    expect(kept).toEqual({ at: 2.5, other: 1, unit: 4 });
  });
});
