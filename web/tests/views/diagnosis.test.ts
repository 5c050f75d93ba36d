import { flushSync, mount, unmount, type Component } from "svelte";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Diagnosis as DiagnosisResult, Finding, WatchedScript as ScriptResult } from "../../api/types";
import { formatNumber, formatPercent } from "../../parts/format";
import Diagnosis from "../../views/Diagnosis.svelte";
import WatchedScript from "../../views/WatchedScript.svelte";
import { expectedOf, placeOf, seenOf, sureness, verdictOf } from "../../views/diagnosis/words";
import { diagnosisResult } from "./diagnosis_result";

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

const faulty = diagnosisResult<DiagnosisResult>("faulty");
const mended = diagnosisResult<DiagnosisResult>("mended");
const script = diagnosisResult<ScriptResult>("script");
const unknown = { file: "", line: 0, text: "", function: "" };

let mounted: Record<string, unknown> | null = null;
function show<Props extends Record<string, unknown>>(view: Component<Props>, props: Props): string {
  document.body.replaceChildren();
  mounted = mount(view, { target: document.body, props });
  flushSync();
  return said(document.body);
}
function said(element: Element): string {
  return element.textContent!.replaceAll(/\s+/g, " ");
}
function card(finding: Finding): HTMLDetailsElement {
  return [...document.querySelectorAll<HTMLDetailsElement>("li > details")].find((one) =>
    said(one).includes(finding.title),
  )!;
}
afterEach(async () => {
  if (mounted) await unmount(mounted);
  mounted = null;
});

describe("a diagnosis", () => {
  it("says how many faults there are, and lists the findings in their order", () => {
    const text = show(Diagnosis, { result: faulty });
    expect(text).toContain("2 faults spoil this training");
    const titles = [...document.querySelectorAll(".title")].map((title) => title.textContent);
    expect(titles).toEqual(faulty.findings.map(({ title }) => title));
    expect(document.querySelectorAll("li > details[open]")).toHaveLength(0);
  });

  it("opens the finding that the address names, with evidence, change and what would prove it wrong", () => {
    const finding = faulty.findings.find(({ code }) => code === "missing_zero_grad")!;
    show(Diagnosis, { result: faulty, finding: finding.code });
    expect([...document.querySelectorAll("li > details[open]")]).toEqual([card(finding)]);
    const text = said(card(finding));
    for (const part of [finding.why, finding.fix, finding.disproof, ...finding.evidence.map(({ name }) => name)])
      expect(text).toContain(part);
    const change = finding.changes[0]!;
    const rows = [...card(finding).querySelectorAll("figure .row")].map(said);
    expect(rows).toEqual(change.after.map((line, at) => `${change.line + at}+put in: ${line.trim()}`));
  });

  it("shows a replaced line before its successor", () => {
    const finding = faulty.findings.find(({ changes }) => changes.some(({ before }) => before.length))!;
    show(Diagnosis, { result: faulty, finding: finding.code });
    const words = [...card(finding).querySelectorAll("figure .visually-hidden")].map((one) => one.textContent);
    expect(words).toEqual(["taken out: ", "put in: "]);
  });

  it("leads to the layer that a finding names, and only where there is someone to lead", () => {
    const finding = faulty.findings.find(({ where }) => where.layer)!;
    const led: string[] = [];
    show(Diagnosis, { result: faulty, finding: finding.code, onlayer: (layer: string) => led.push(layer) });
    card(finding).querySelector("button")!.click();
    expect(led).toEqual([finding.where.layer]);
    show(Diagnosis, { result: faulty, finding: finding.code });
    expect(card(finding).querySelector("button")).toBeNull();
  });

  it("opens every finding on paper, and tells nobody", () => {
    const heard: string[] = [];
    const props = {
      result: faulty,
      get finding(): string {
        return heard.at(-1) ?? "";
      },
      set finding(next: string) {
        heard.push(next);
      },
    };
    show(Diagnosis, props);
    window.dispatchEvent(new Event("beforeprint"));
    expect(document.querySelectorAll("li > details[open]")).toHaveLength(faulty.findings.length);
    window.dispatchEvent(new Event("afterprint"));
    expect(document.querySelectorAll("li > details[open]")).toHaveLength(0);
    expect(heard).toEqual([]);
  });

  it("tells a healthy run, and what could not be checked", () => {
    const text = show(Diagnosis, { result: mended });
    expect(text).toContain("Healthy: nothing was found that spoils this training");
    expect(text).toContain(`${mended.checked.length} possible causes`);
    for (const one of mended.unchecked) expect(text).toContain(one);
    expect(document.querySelector("ol")).toBeNull();
  });

  it("shows what became of a change that was tried", () => {
    const [first] = faulty.findings;
    const { x, y } = first!.curves[0]!;
    const tried = {
      metric: "accuracy",
      higher_is_better: true,
      before: y,
      after: y,
      x,
      x_after: x,
      x_name: "step",
      improved: true,
      said: "accuracy 0.4 → 0.95 after 40 steps",
    };
    const text = show(Diagnosis, { result: { ...faulty, findings: [{ ...first!, tried }] }, finding: first!.code });
    expect(text).toContain("One fault spoils this training");
    expect(text).toContain("change helped");
    expect(text).toContain(tried.said);
  });
});

describe("the words of findings", () => {
  it("tell shares in per cent and other figures with their unit", () => {
    expect(seenOf({ name: "", value: 0.25, expected: "1", unit: "share" })).toBe("25 %");
    expect(expectedOf({ name: "", value: 0.25, expected: "1", unit: "share" })).toBe("100 %");
    expect(expectedOf({ name: "", value: 0.25, expected: "about 1", unit: "share" })).toBe("about 1");
    expect(seenOf({ name: "", value: 3, expected: "", unit: "steps" })).toBe("3 steps");
    expect(expectedOf({ name: "", value: 3, expected: "", unit: "steps" })).toBe("–");
  });

  it("tell the place by line, layer and parameter, each once", () => {
    const place = { file: "a.py", line: 3, text: "", function: "train" };
    expect(placeOf({ place, layer: "fc", parameter: "fc.weight" })).toBe("a.py, line 3 in train · fc.weight");
    expect(placeOf({ place: { ...place, function: "<module>" }, layer: "fc", parameter: "" })).toBe(
      "a.py, line 3 · layer fc",
    );
    expect(placeOf({ place: unknown, layer: "", parameter: "" })).toBe("");
  });

  it("tell how sure they are, and the verdict by the worst", () => {
    expect([0.95, 0.8, 0.6, 0.2].map(sureness)).toEqual(["almost certain", "very likely", "likely", "possible"]);
    const of = (severity: Finding["severity"]): Finding => ({ ...faulty.findings[0]!, severity });
    expect(verdictOf([of("warning"), of("note")])).toEqual({
      tone: "warning",
      title: "No fault found; one thing to look at",
    });
    expect(verdictOf([of("note")]).tone).toBe("good");
  });
});

describe("a watched script", () => {
  it("lists its parts with their lines, and settings that are set", () => {
    show(WatchedScript, { result: script });
    const rows = [...document.querySelectorAll("tbody tr")].map(said);
    expect(rows).toHaveLength(5);
    const [model, loss, optimizer, scheduler, loader] = rows as [string, string, string, string, string];
    expect(model).toContain(`${script.models[0]!.parameters_total} parameters`);
    expect(loss).toContain(`train.py:${script.losses[0]!.place.line}`);
    expect(loss).toContain(`${formatNumber(script.losses[0]!.first)} → ${formatNumber(script.losses[0]!.last)}`);
    expect(optimizer).toContain("LR 0.1; 100 steps");
    expect(scheduler).toContain("StepLR");
    expect(loader).toContain("320 examples, batches of 32, shuffled, 10 passes");
    expect(document.body.textContent).toContain(formatPercent(script.cost));
  });

  it("names the first number that was not finite", () => {
    const nonfinite = {
      step: 39,
      phase: "loss",
      what: "log",
      module: "",
      place: { file: "train.py", line: 25, text: "", function: "" },
      inputs_finite: true,
      kind: "inf",
      detail: "log of 3 zeros",
    };
    const text = show(WatchedScript, { result: { ...script, nonfinite } });
    expect(text).toContain("Infinity from log at step 39 (loss), train.py:25. log of 3 zeros");
  });
});
