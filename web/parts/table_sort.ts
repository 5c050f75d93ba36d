/** Sorting of table rows by a column, named in the URL as `key` (ascending) or `-key` (descending). */

import type { Snippet } from "svelte";

export interface TableColumn<Row> {
  readonly key: string;
  readonly label: string;
  /** What is sorted by; null, undefined and NaN go last in both directions. */
  readonly value: (row: Row) => number | string | null | undefined;
  /** What is shown, unless `cell` draws it; the value itself by default. */
  readonly text?: (row: Row) => string;
  readonly numeric?: boolean;
  readonly cell?: Snippet<[Row]>;
  readonly title?: string;
  readonly width?: string;
  /** Left out where the screen is narrow. */
  readonly minor?: boolean;
}

/** The rows in the order that `sort` asks for; stable, and untouched where it names no column. */
export function sortRows<Row>(
  rows: readonly Row[],
  columns: readonly TableColumn<Row>[],
  sort: string,
): readonly Row[] {
  const descending = sort.startsWith("-");
  const column = columns.find((one) => one.key === (descending ? sort.slice(1) : sort));
  if (!column) return rows;
  const keyed = rows.map((row) => ({ row, key: column.value(row) }));
  keyed.sort((a, b) => compareKeys(a.key, b.key, descending ? -1 : 1));
  return keyed.map((entry) => entry.row);
}

/** What a click on a column's head makes of the present sort. Numbers start with the largest. */
export function nextSort<Row>(sort: string, column: TableColumn<Row>): string {
  if (sort === column.key) return `-${column.key}`;
  if (sort === `-${column.key}`) return column.key;
  return column.numeric ? `-${column.key}` : column.key;
}

type Key = number | string | null | undefined;

function compareKeys(a: Key, b: Key, direction: 1 | -1): number {
  const [noA, noB] = [isMissing(a), isMissing(b)];
  if (noA || noB) return Number(noA) - Number(noB);
  if (typeof a === "number" && typeof b === "number") return direction * (a - b);
  return direction * String(a).localeCompare(String(b), "en", { numeric: true, sensitivity: "base" });
}

function isMissing(key: Key): boolean {
  return key === null || key === undefined || key === "" || Number.isNaN(key);
}
