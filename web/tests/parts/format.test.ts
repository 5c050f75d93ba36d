import { describe, expect, it } from "vitest";
import {
  formatAge,
  formatBytes,
  formatCount,
  formatDuration,
  formatMetric,
  formatMetricTick,
  formatName,
  formatNumber,
  formatPercent,
  formatSentence,
  formatShort,
} from "../../parts/format";

describe("messages", () => {
  it.each([
    ["the watch took 0.1 s (3.2%); 5 steps", "The watch took 0.1 s (3.2 %); 5 steps"],
    ["stopped early, after 9 epochs", "Stopped early, after 9 epochs"],
    ["fc1.weight is not finite", "fc1.weight is not finite"],
    ["RuntimeError: no", "RuntimeError: no"],
    ["", ""],
  ])("%s", (message, sentence) => expect(formatSentence(message)).toBe(sentence));

  it("keeps abbreviations in capitals", () => {
    expect(formatName("macro_f1")).toBe("Macro F1");
    expect(formatName("test_r2")).toBe("Test R²");
  });
});

describe("numbers", () => {
  it.each([
    [0, "0"],
    [0.98714, "0.9871"],
    [12.5, "12.5"],
    [12345.6, "12,346"],
    [-3.25, "−3.25"],
    [0.000032, "3.2e−5"],
    [1.5e12, "1.5e12"],
    [100, "100"],
    [NaN, "NaN"],
    [-Infinity, "−∞"],
    [null, "–"],
  ])("%d reads %s", (value, text) => expect(formatNumber(value)).toBe(text));

  it("percentages do not round something to nothing", () => {
    expect(formatPercent(0.98714)).toBe("98.7 %");
    expect(formatPercent(0.00001)).toBe("< 0.1 %");
    expect(formatPercent(0)).toBe("0.0 %");
    expect(formatPercent(NaN)).toBe("NaN");
  });

  it("counts and sizes are short", () => {
    expect(formatCount(1234567)).toBe("1,234,567");
    expect(formatShort(1234567)).toBe("1.23M");
    expect(formatShort(-4500)).toBe("−4.5k");
    expect(formatBytes(136_000)).toBe("136 kB");
  });

  it("metrics that are shares are percentages", () => {
    expect(formatMetric("test_accuracy", 0.9963)).toBe("99.63 %");
    expect(formatMetric("validation_log_loss", 0.02338)).toBe("0.02338");
    expect(formatMetricTick("accuracy", 0.985, 0.005)).toBe("98.5 %");
    expect(formatMetricTick("accuracy", 0.6, 0.2)).toBe("60 %");
  });

  it("names keep their abbreviations", () => {
    expect(formatName("test_rmse")).toBe("Test RMSE");
    expect(formatName("validation_r2")).toBe("Validation R²");
  });
});

describe("time", () => {
  it.each([
    [0, "0 s"],
    [0.0000123, "12.3 µs"],
    [0.0031, "3.1 ms"],
    [4.26, "4.3 s"],
    [59.6, "1 min"],
    [200, "3 min 20 s"],
    [7500, "2 h 5 min"],
    [273_600, "3 d 4 h"],
  ])("%d seconds read %s", (seconds, text) => expect(formatDuration(seconds)).toBe(text));

  it("ages count from now", () => {
    const now = Date.parse("2024-05-01T12:00:00Z");
    expect(formatAge("2024-05-01T11:59:57Z", now)).toBe("just now");
    expect(formatAge("2024-05-01T11:30:00Z", now)).toBe("30 min ago");
    expect(formatAge("2024-04-28T12:00:00Z", now)).toBe("3 d ago");
    expect(formatAge("nonsense", now)).toBe("–");
  });
});
