/** Words for what the columns of a data report are. */

import type { ColumnReport } from "../../api/types";
import { formatCount, formatNumber, formatPercent } from "../../parts/format";

/** "12 (1.3 %)", or "none". */
export function formatMissing(missing: number, rows: number): string {
  return missing ? `${formatCount(missing)} (${formatPercent(missing / Math.max(1, rows))})` : "none";
}

/** The centre and spread of numbers in a line; '' for other columns. */
export function summarizeNumbers(column: ColumnReport): string {
  if (column.mean === null || column.std === null) return "";
  // What is left of a mean of 0 after rounding says nothing.
  const mean = Math.abs(column.mean) < 1e-9 * column.std ? 0 : column.mean;
  return `${formatNumber(column.low, 3)} … ${formatNumber(column.high, 3)}, mean ${formatNumber(mean, 3)} ± ${formatNumber(column.std, 3)}`;
}

/** Columns whose name, kind, role, note or treatment holds every word of the search. */
export function matchColumns(columns: readonly ColumnReport[], search: string): readonly ColumnReport[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return columns;
  return columns.filter((column) => {
    const text = [column.name, column.kind, column.role, column.note, ...column.treatment].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** How much a split holds of each class, as shares of the split. */
export function classShares(counts: ArrayLike<number>): number[] {
  const values = Array.from(counts);
  const total = values.reduce((a, b) => a + b, 0);
  return values.map((count) => (total > 0 ? count / total : NaN));
}
