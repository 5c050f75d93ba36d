/** One table of the watched run: segments of rows arrive, a frame that never changes in place comes out. */

import {
  allocate,
  emptyFrame,
  type Column,
  type Frame,
  type LabelColumn,
  type NumberColumn,
  type Segment,
} from "./frames";
import type { ArrayData } from "./payload";

/** What became of a segment: "gap" means that rows between were missed, and the table must be asked for anew. */
export type Merge = "appended" | "replaced" | "ignored" | "gap";

interface Growing {
  /** Longer than what is used; frames see a part of it. */
  data: ArrayData;
  readonly width: number;
  /** The dictionary of a label column, null for numbers. */
  labels: string[] | null;
  /** Where a NaN was measured; null until one is. */
  lost: ArrayData | null;
}

const NO_ROOM = 0;

/** Rows of one table, appended in place. Older frames keep seeing the rows that they had. */
export class TableStore {
  /** The row of the run's table with which the next segment should begin. */
  nextRow = 0;
  /** Rows of the answer that began it. */
  rowsAtFirst = 0;
  frame: Frame;
  #rows = 0;
  #sampled = false;
  #begun = false;
  #columns = new Map<string, Growing>();

  constructor(table: string) {
    this.frame = emptyFrame(table);
  }

  get rows(): number {
    return this.#rows;
  }

  /** Take in a segment: one that starts at row 0 replaces everything, one that goes on where we stand is appended. */
  merge(segment: Segment): Merge {
    if (segment.firstRow === 0) {
      this.#clear();
      this.#append(segment);
      this.rowsAtFirst = this.#rows;
      return "replaced";
    }
    if (!this.#begun) return "ignored"; // an answer to an earlier question, crossing ours on the way
    if (segment.firstRow === this.nextRow) {
      this.#append(segment);
      return "appended";
    }
    return segment.nextRow <= this.nextRow ? "ignored" : "gap";
  }

  #clear(): void {
    this.#rows = 0;
    this.#sampled = false;
    this.#columns.clear();
  }

  #append({ frame, nextRow }: Segment): void {
    this.#begun = true;
    this.nextRow = nextRow;
    this.#sampled ||= frame.sampled;
    if (frame.rows > 0 || this.#rows === 0) {
      for (const [name, column] of Object.entries(frame.columns)) this.#extend(name, column, frame.rows);
      this.#rows += frame.rows;
    }
    this.frame = this.#snapshot();
  }

  #extend(name: string, column: Column, rows: number): void {
    const incoming = column.kind === "labels" ? column.codes : column.data;
    const width = column.kind === "labels" ? 1 : column.width;
    const growing = this.#columns.get(name) ?? {
      data: allocate(incoming, NO_ROOM),
      width,
      labels: column.kind === "labels" ? [] : null,
      lost: null,
    };
    this.#columns.set(name, growing);
    const start = this.#rows * width;
    growing.data = withRoom(growing.data, start, start + rows * width);
    if (column.kind === "labels") growing.data.set(recode(column, (growing.labels ??= [])), start);
    else growing.data.set(incoming.subarray(0, rows * width), start);
    const lost = column.kind === "numbers" ? column.lost : null;
    if (!lost && !growing.lost) return;
    growing.lost = withRoom(growing.lost ?? new Uint8Array(this.#rows), this.#rows, this.#rows + rows);
    if (lost) growing.lost.set(lost.subarray(0, rows), this.#rows);
  }

  #snapshot(): Frame {
    const columns: Record<string, Column> = {};
    for (const [name, { data, width, labels, lost }] of this.#columns) {
      const used = data.subarray(0, this.#rows * width);
      columns[name] = labels
        ? ({ kind: "labels", codes: used, labels: [...labels] } satisfies LabelColumn)
        : ({ kind: "numbers", data: used, width, lost: lost?.subarray(0, this.#rows) ?? null } satisfies NumberColumn);
    }
    return { table: this.frame.table, rows: this.#rows, sampled: this.#sampled, columns };
  }
}

/** The same array if it is long enough, or one twice as long with the used part copied. */
function withRoom(data: ArrayData, used: number, needed: number): ArrayData {
  if (needed <= data.length) return data;
  const grown = allocate(data, Math.max(needed, data.length * 2, 256));
  grown.set(data.subarray(0, used));
  return grown;
}

/** Codes into our own labels, which are added to as new texts appear. */
function recode(column: LabelColumn, labels: string[]): Int32Array {
  const own = column.labels.map((text) => {
    const known = labels.indexOf(text);
    return known >= 0 ? known : labels.push(text) - 1;
  });
  return Int32Array.from(column.codes, (code) => (code < 0 ? -1 : (own[code] ?? -1)));
}
