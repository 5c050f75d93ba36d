/** From a picture's cells to a tensor's entries and back, and how a chosen entry is written in an address. */

import type { StepperStop, StepperValue, TraceStepper } from "../../api/types";
import type { Cell } from "../../parts/heat_map";

export type EntryKind = "value" | "gradient" | "update";

/** One entry of one value, or its gradient, or its move. */
export interface Selection {
  readonly kind: EntryKind;
  readonly value: number;
  readonly index: readonly number[];
}

/** A tensor, its gradient or its move, as it is drawn. */
export interface Picture {
  readonly kind: EntryKind;
  readonly value: StepperValue;
  readonly data: ArrayLike<number>;
  readonly rows: number;
  readonly columns: number;
  /** The flat position that each cell shows; null where the cells are the tensor itself. */
  readonly entries: ArrayLike<number> | null;
}

export function pictureOf(value: StepperValue | undefined, kind: EntryKind): Picture | null {
  if (!value) return null;
  const array = kind === "value" ? value.tensor : value[kind];
  if (!array) return null;
  const entries = kind === "value" ? value.entries : value[`${kind}_entries`];
  const [rows = 1, columns = 1] = array.shape;
  return { kind, value, data: array.data, rows, columns, entries: entries?.data ?? null };
}

export function unravel(flat: number, shape: readonly number[]): number[] {
  const index = new Array<number>(shape.length).fill(0);
  let left = flat;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const side = shape[axis] || 1;
    index[axis] = left % side;
    left = Math.floor(left / side);
  }
  return index;
}

export function ravel(index: readonly number[], shape: readonly number[]): number {
  return shape.reduce((flat, side, axis) => flat * side + (index[axis] ?? 0), 0);
}

/** The entry that a cell shows. */
export function indexAt(picture: Picture, { row, column }: Cell): number[] {
  const cell = row * picture.columns + column;
  return unravel(picture.entries ? (picture.entries[cell] ?? 0) : cell, picture.value.shape);
}

/** The cell that shows an entry; null where another entry of its block is shown. */
export function cellOf(picture: Picture, index: readonly number[]): Cell | null {
  const flat = ravel(index, picture.value.shape);
  const cell = picture.entries ? Array.prototype.indexOf.call(picture.entries, flat) : flat;
  if (cell < 0 || cell >= picture.rows * picture.columns) return null;
  return { row: Math.floor(cell / picture.columns), column: cell % picture.columns };
}

/** The number of an entry, if a picture holds it. */
export function numberAt(value: StepperValue | undefined, kind: EntryKind, index: readonly number[]): number | null {
  const picture = pictureOf(value, kind);
  const cell = picture && cellOf(picture, index);
  return picture && cell ? (picture.data[cell.row * picture.columns + cell.column] ?? null) : null;
}

export function writeSelection({ kind, value, index }: Selection): string {
  return `${kind}:${value}:${index.join(",")}`;
}

/** What `writeSelection` wrote; null for anything that names no entry of this trace. */
export function readSelection(text: string, result: TraceStepper): Selection | null {
  const found = /^(value|gradient|update):(\d+):((?:\d+(?:,\d+)*)?)$/.exec(text);
  if (!found) return null;
  const value = result.values[Number(found[2])];
  const index = found[3] ? found[3].split(",").map(Number) : [];
  if (!value || index.length !== value.shape.length || index.some((at, axis) => at >= (value.shape[axis] ?? 0)))
    return null;
  return { kind: found[1] as EntryKind, value: value.id, index };
}

export function nameEntry(name: string, index: readonly number[], kind: EntryKind = "value"): string {
  const entry = index.length ? `${name}[${index.join(", ")}]` : name;
  return kind === "gradient" ? `∂loss/∂${entry}` : kind === "update" ? `Δ${entry}` : entry;
}

/** Whether a person may set this value to something else and see what follows. */
export function canEdit(value: StepperValue): boolean {
  return value.kind !== "loss" && value.kind !== "constant" && value.kind !== "buffer" && /float/.test(value.dtype);
}

/** Entries worth a look at a stop: the largest of what it makes, moves or hands back, and the loss where it is made. */
export function offersOf(result: TraceStepper, stop: StepperStop): Selection[] {
  const value = result.values[stop.value];
  const kind = stop.phase === "backward" ? "gradient" : stop.phase === "update" ? "update" : "value";
  const reads = result.edges.filter((edge) => edge.step === stop.step).map((edge) => edge.source);
  const parameter = result.values[reads.find((id) => result.values[id]?.kind === "parameter") ?? -1];
  const wanted = stop.phase === "forward" || stop.phase === "backward" ? [value, parameter] : [value];
  return wanted.flatMap((one) => {
    const picture = pictureOf(one, kind);
    const cell = picture ? largestCell(picture) : null;
    return picture && cell ? [{ kind, value: picture.value.id, index: indexAt(picture, cell) }] : [];
  });
}

function largestCell({ data, columns }: Picture): Cell | null {
  let best = -1;
  for (let at = 0; at < data.length; at++)
    if (Number.isFinite(data[at]) && (best < 0 || Math.abs(data[at]!) > Math.abs(data[best]!))) best = at;
  return best < 0 ? null : { row: Math.floor(best / columns), column: best % columns };
}
