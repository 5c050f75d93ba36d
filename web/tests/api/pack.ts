/** A writer of payloads for tests, from the description of the format, sharing no code with the reader. */

import type { ArrayData } from "../../api/payload";

const DTYPES = new Map<unknown, string>([
  [Float64Array, "F64"],
  [Float32Array, "F32"],
  [Int32Array, "I32"],
  [Uint8Array, "U8"],
]);

export type Arrays = Record<string, { data: ArrayData; shape: number[] }>;

export function pack(document: unknown, arrays: Arrays): ArrayBuffer {
  const header: Record<string, unknown> = { __metadata__: { document: JSON.stringify(document) } };
  let offset = 0;
  for (const [name, { data, shape }] of Object.entries(arrays)) {
    header[name] = { dtype: DTYPES.get(data.constructor), shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const out = new Uint8Array(8 + text.length + offset);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  let place = 8 + text.length;
  for (const { data } of Object.values(arrays)) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), place);
    place += data.byteLength;
  }
  return out.buffer;
}

export interface Rows {
  run?: string;
  table?: string;
  first: number;
  next: number;
  sampled?: boolean;
  /** NaN is a missing figure, but in the rows that `lost` names. */
  numbers?: Record<string, number[]>;
  lost?: Record<string, number[]>;
  labels?: Record<string, string[]>;
}

/** A table frame as the server sends it. */
export function packRows({
  run = "r1",
  table = "steps",
  first,
  next,
  sampled = false,
  numbers = {},
  lost = {},
  labels = {},
}: Rows): ArrayBuffer {
  const arrays: Arrays = {};
  const columns: Record<string, unknown> = {};
  for (const [name, values] of Object.entries(numbers)) {
    arrays[name] = { data: Float64Array.from(values), shape: [values.length] };
    columns[name] = { $array: name };
    const rows = lost[name];
    if (!rows) continue;
    const flags = values.map((_, row) => Number(rows.includes(row)));
    arrays[`${name}?lost`] = { data: Uint8Array.from(flags), shape: [values.length] };
    columns[name] = { numbers: { $array: name }, lost: { $array: `${name}?lost` } };
  }
  for (const [name, texts] of Object.entries(labels)) {
    const distinct = [...new Set(texts)];
    arrays[name] = { data: Int32Array.from(texts, (text) => distinct.indexOf(text)), shape: [texts.length] };
    columns[name] = { codes: { $array: name }, labels: distinct };
  }
  return pack({ schema: "table_frame/1", run, table, first_row: first, next_row: next, sampled, columns }, arrays);
}
