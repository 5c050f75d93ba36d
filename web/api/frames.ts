/** Tables of a run in the browser: columns of typed arrays that grow as the run is watched. */

import { decodePayload, type ArrayData, type NdArray } from "./payload";

/** Numbers, one row after another; `width` > 1 for a column of vectors (a histogram's counts). */
export interface NumberColumn {
  readonly kind: "numbers";
  readonly data: ArrayData;
  readonly width: number;
  /** 1 where a NaN was measured; null if there is none. Every other NaN is a figure that is missing. */
  readonly lost?: ArrayData | null;
}

/** Texts that repeat: a code into `labels` for each row. */
export interface LabelColumn {
  readonly kind: "labels";
  readonly codes: ArrayData;
  readonly labels: readonly string[];
}

export type Column = NumberColumn | LabelColumn;

/** A table as views see it: never changed in place; a newer frame replaces it. */
export interface Frame {
  readonly table: string;
  readonly rows: number;
  /** Whether rows were left out between the first and the last (extremes are kept). */
  readonly sampled: boolean;
  readonly columns: Readonly<Record<string, Column>>;
}

/** One answer of the server: a frame and where in the run's table it stands. */
export interface Segment {
  readonly run: string;
  readonly table: string;
  readonly firstRow: number;
  readonly nextRow: number;
  readonly frame: Frame;
}

type WireColumn = NdArray | { numbers: NdArray; lost: NdArray } | { codes: NdArray; labels: string[] };

interface WireFrame {
  readonly schema: string;
  readonly run: string;
  readonly table: string;
  readonly first_row: number;
  readonly next_row: number;
  readonly sampled: boolean;
  readonly columns: Record<string, WireColumn>;
}

/** A table without rows, for views that wait. */
export function emptyFrame(table: string): Frame {
  return { table, rows: 0, sampled: false, columns: {} };
}

/** Decode a table frame (`table_frame/1`). */
export function decodeSegment(buffer: ArrayBuffer): Segment {
  const wire = decodePayload<WireFrame>(buffer);
  const columns: Record<string, Column> = {};
  let rows = 0;
  for (const [name, column] of Object.entries(wire.columns)) {
    const array = "codes" in column ? column.codes : "numbers" in column ? column.numbers : column;
    rows = array.shape[0] ?? 0;
    columns[name] =
      "codes" in column
        ? { kind: "labels", codes: column.codes.data, labels: column.labels }
        : {
            kind: "numbers",
            data: array.data,
            width: array.shape[1] ?? 1,
            lost: "lost" in column ? column.lost.data : null,
          };
  }
  const frame = { table: wire.table, rows, sampled: wire.sampled, columns };
  return { run: wire.run, table: wire.table, firstRow: wire.first_row, nextRow: wire.next_row, frame };
}

/** A column's numbers; an empty array where the frame has no such column. Vectors stand one after another. */
export function numbers(frame: Frame, name: string): ArrayData {
  const column = frame.columns[name];
  return column?.kind === "numbers" ? column.data : new Float64Array(0);
}

/** A column's numbers with null where there is none: NaN then means that NaN was measured. */
export function figures(frame: Frame, name: string): ArrayLike<number | null> {
  const column = frame.columns[name];
  if (column?.kind !== "numbers") return [];
  const { data, lost } = column;
  return Array.from(data, (value, row) => (Number.isNaN(value) && !lost?.[row] ? null : value));
}

/** Whether a NaN was measured in a row, as against nothing. */
export function isLost(frame: Frame, name: string, row: number): boolean {
  const column = frame.columns[name];
  return column?.kind === "numbers" && Boolean(column.lost?.[row]);
}

/** The text of a label column in one row; '' where there is none. */
export function label(frame: Frame, name: string, row: number): string {
  const column = frame.columns[name];
  return column?.kind === "labels" ? (column.labels[column.codes[row] ?? -1] ?? "") : "";
}

/** The distinct texts of a label column that occur, in order of first appearance. */
export function distinct(frame: Frame, name: string): string[] {
  const column = frame.columns[name];
  if (column?.kind !== "labels") return [];
  return [...new Set(column.codes)].map((code) => column.labels[code] ?? "");
}

/** The rows in which every named label column has the given text. */
export function rowsWhere(frame: Frame, wanted: Readonly<Record<string, string>>): Int32Array<ArrayBuffer> {
  const tests = Object.entries(wanted).map(([name, text]) => {
    const column = frame.columns[name];
    return column?.kind === "labels"
      ? { codes: column.codes, code: column.labels.indexOf(text) }
      : { codes: [], code: -1 };
  });
  const rows: number[] = [];
  for (let row = 0; row < frame.rows; row++) {
    if (tests.every(({ codes, code }) => code >= 0 && codes[row] === code)) rows.push(row);
  }
  return Int32Array.from(rows);
}

/** The chosen rows of a frame as a new frame. */
export function take(frame: Frame, rows: ArrayLike<number>): Frame {
  const columns: Record<string, Column> = {};
  for (const [name, column] of Object.entries(frame.columns)) {
    columns[name] =
      column.kind === "labels"
        ? { ...column, codes: gather(column.codes, rows, 1) }
        : {
            ...column,
            data: gather(column.data, rows, column.width),
            lost: column.lost ? gather(column.lost, rows, 1) : null,
          };
  }
  return { ...frame, rows: rows.length, columns };
}

/** The rows of a frame with the given labels: `where(layers, { layer: "stages.0" })`. */
export function where(frame: Frame, wanted: Readonly<Record<string, string>>): Frame {
  return take(frame, rowsWhere(frame, wanted));
}

function gather(data: ArrayData, rows: ArrayLike<number>, width: number): ArrayData {
  const out = allocate(data, rows.length * width);
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] ?? 0;
    for (let lane = 0; lane < width; lane++) out[index * width + lane] = data[row * width + lane] ?? NaN;
  }
  return out;
}

/** A new array of the same type. */
export function allocate(like: ArrayData, length: number): ArrayData {
  return new (like.constructor as new (length: number) => ArrayData)(length);
}
