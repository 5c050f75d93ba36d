/** An equation's terms as rows with bars; the remainder and the rounding are rows of their own. */

import type { Equation, ExplainedTerm } from "../../api/types";
import { formatCount, formatNumber } from "../../parts/format";

export interface TermRow {
  readonly name: string;
  /** The factors' numbers, '' where there is only one. */
  readonly product: string;
  readonly label: string;
  readonly value: number;
  /** Left edge and width of the bar, in percent of its track, whose middle is zero. */
  readonly left: number;
  readonly width: number;
}

export function nameTerm(term: ExplainedTerm): string {
  return term.factors.map((factor) => factor.symbol).join(" · ") || term.label;
}

export function listTerms(equation: Equation): TermRow[] {
  const rows = equation.terms.map((term) => ({
    name: nameTerm(term),
    product: term.factors.length > 1 ? term.factors.map((factor) => formatNumber(factor.value, 5)).join(" × ") : "",
    label: term.factors.length ? term.label : "",
    value: term.value,
  }));
  if (equation.others)
    rows.push({
      name: `${formatCount(equation.others)} more term${equation.others > 1 ? "s" : ""}`,
      product: "",
      label: "",
      value: equation.others_value,
    });
  const largest = Math.max(0, ...rows.map((row) => Math.abs(row.value)).filter(Number.isFinite));
  return rows.map((row) => {
    const width = largest && Number.isFinite(row.value) ? (50 * Math.abs(row.value)) / largest : 0;
    return { ...row, width, left: row.value < 0 ? 50 - width : 50 };
  });
}

/** Decimals that all numbers of a sum share: five digits of the largest one. */
export function sharedDecimals(values: readonly number[]): number {
  const largest = Math.max(0, ...values.map(Math.abs).filter(Number.isFinite));
  if (!largest) return 1;
  const size = Math.floor(Math.log10(largest));
  return Math.max(0, Math.min(20, size >= 0 ? 4 - size : 3 - size));
}
