import { describe, expect, it } from "vitest";
import { classShares, formatMissing, matchColumns, summarizeNumbers } from "../../views/data_report/columns";
import { toneOf } from "../../views/events/tone";
import { flatten, formatValue, searchSections, sectionsOf } from "../../views/settings/entries";
import type { ColumnReport } from "../../api/types";

describe("settings", () => {
  const settings = {
    epochs: 30,
    clip: null,
    optimizer: { kind: "adamw", betas: [0.9, 0.999] },
    stages: [{ width: 8 }, { width: 16 }],
    empty: {},
  };

  it("write values exactly", () => {
    expect([0.1 + 0.2, true, null, "", [], [1, "a"]].map(formatValue)).toEqual([
      "0.30000000000000004",
      "yes",
      "–",
      "–",
      "none",
      "1, a",
    ]);
  });

  it("lose nothing when flattened", () => {
    expect(flatten(settings).map((entry) => [entry.path.join("."), entry.value])).toEqual([
      ["epochs", "30"],
      ["clip", "–"],
      ["optimizer.kind", "adamw"],
      ["optimizer.betas", "0.9, 0.999"],
      ["stages.1.width", "8"],
      ["stages.2.width", "16"],
      ["empty", "none"],
    ]);
  });

  it("stand in a section for each nested object", () => {
    const sections = sectionsOf(settings, "General");
    expect(sections.map((section) => section.title)).toEqual(["General", "optimizer", "stages"]);
    expect(sections[0]!.entries.map((entry) => entry.path[0])).toEqual(["epochs", "clip", "empty"]);
  });

  it("are found by every word, in names and values", () => {
    const sections = sectionsOf({ ...settings, batch_size: 64 }, "General");
    expect(searchSections(sections, "optimizer adam").flatMap((section) => section.entries)).toHaveLength(1);
    expect(searchSections(sections, "batch size").flatMap((section) => section.entries)[0]?.value).toBe("64");
    expect(searchSections(sections, "absent")).toEqual([]);
    expect(searchSections(sections, "")).toHaveLength(3);
  });
});

describe("columns", () => {
  const column = (change: Partial<ColumnReport>): ColumnReport => ({
    name: "age",
    kind: "number",
    role: "feature",
    missing: 0,
    distinct: 3,
    treatment: [],
    note: "",
    mean: null,
    std: null,
    low: null,
    median: null,
    high: null,
    histogram: null,
    edges: null,
    top_values: [],
    top_counts: [],
    ...change,
  });

  it("say what is missing and how numbers spread", () => {
    expect(formatMissing(0, 10)).toBe("none");
    expect(formatMissing(177, 891)).toBe("177 (19.9 %)");
    expect(summarizeNumbers(column({ mean: 29.7, std: 14.5, low: 0.42, high: 80 }))).toBe(
      "0.42 … 80, mean 29.7 ± 14.5",
    );
    expect(summarizeNumbers(column({}))).toBe("");
  });

  it("are searched by name, role and treatment", () => {
    const columns = [column({}), column({ name: "id", role: "dropped", note: "looks like an identifier" })];
    expect(matchColumns(columns, "dropped ident").map((one) => one.name)).toEqual(["id"]);
    expect(matchColumns(columns, " ")).toHaveLength(2);
  });

  it("give class shares that sum to one, or none", () => {
    expect(classShares([1, 3])).toEqual([0.25, 0.75]);
    expect(classShares([0, 0])).toEqual([NaN, NaN]);
  });
});

describe("events", () => {
  it.each([
    ["error", "bad"],
    ["warning", "warning"],
    ["finished", "good"],
    ["started", "info"],
    ["note", "neutral"],
  ])("%s is %s", (kind, tone) => {
    expect(toneOf(kind)).toBe(tone);
  });
});
