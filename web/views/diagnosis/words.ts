/** The words and tones of findings, apart from their looks. */

import type { Finding } from "../../api/types";
import { formatNumber, formatPercent } from "../../parts/format";

export type Tone = "good" | "warning" | "bad" | "info";

const TONES: Readonly<Record<Finding["severity"], Tone>> = { fault: "bad", warning: "warning", note: "info" };

export function toneOf(severity: Finding["severity"]): Tone {
  return TONES[severity];
}

/** "loop.py, line 24 in train · layer fc1 · fc1.weight": what is known of the place, '' for nothing. */
export function placeOf(where: Finding["where"]): string {
  const { file, line, function: inside } = where.place;
  const code = file && line ? `${file}, line ${line}${inside && inside !== "<module>" ? ` in ${inside}` : ""}` : file;
  const layer = where.layer && !where.parameter.startsWith(`${where.layer}.`) ? `layer ${where.layer}` : "";
  return [code, layer, where.parameter].filter(Boolean).join(" · ");
}

/** What was seen: a share in per cent, other figures with their unit. */
export function seenOf({ value, unit }: Finding["evidence"][number]): string {
  if (unit === "share") return formatPercent(value, 0);
  return formatNumber(value) + (unit ? ` ${unit}` : "");
}

/** What was expected, in the same measure where it is a bare number. */
export function expectedOf({ expected, unit }: Finding["evidence"][number]): string {
  const number = expected.trim() === "" ? Number.NaN : Number(expected);
  return unit === "share" && Number.isFinite(number) ? formatPercent(number, 0) : expected || "–";
}

/** How sure, in words beside the number, so that neither stands alone. */
export function sureness(certainty: number): string {
  if (certainty >= 0.9) return "almost certain";
  if (certainty >= 0.7) return "very likely";
  if (certainty >= 0.5) return "likely";
  return "possible";
}

/** One sentence for the whole run. */
export function verdictOf(findings: readonly Finding[]): { readonly tone: Tone; readonly title: string } {
  const of = (severity: Finding["severity"]): number => findings.filter((one) => one.severity === severity).length;
  const faults = of("fault");
  const warnings = of("warning");
  if (faults > 1) return { tone: "bad", title: `${faults} faults spoil this training` };
  if (faults === 1) return { tone: "bad", title: "One fault spoils this training" };
  if (warnings)
    return {
      tone: "warning",
      title: `No fault found; ${warnings === 1 ? "one thing" : `${warnings} things`} to look at`,
    };
  return { tone: "good", title: "Healthy: nothing was found that spoils this training" };
}

/** From the least to the largest finite value with a little room; undefined where there are none. */
export function reachOf(values: readonly number[]): readonly [number, number] | undefined {
  const finite = values.filter(Number.isFinite);
  if (!finite.length) return undefined;
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - room, high + room];
}
