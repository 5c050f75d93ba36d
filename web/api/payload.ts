/**
 * Reads what `pellucid.results.codec` packs: a safetensors buffer (8-byte little-endian header length, JSON header, raw
 * arrays) whose metadata carries a JSON document. `{"$array": name}` in the document becomes the array,
 * `{"$float": "nan"}` the number that JSON cannot say.
 */

export type ArrayData =
  | Float64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/** An array with its shape, row-major. 64-bit integers arrive as doubles (exact to 2⁵³), booleans as 0 and 1. */
export interface NdArray {
  readonly data: ArrayData;
  readonly shape: readonly number[];
  readonly dtype: string;
}

/** What a generated type of the wire becomes once decoded. */
export type Decoded<T> = T extends { $array: string }
  ? NdArray
  : T extends { $float: string }
    ? number
    : T extends readonly unknown[] | Record<string, unknown> | object
      ? { [K in keyof T]: Decoded<T[K]> }
      : T;

/** The buffer is not a payload of Pellucid, or was cut off. */
export class PayloadError extends Error {
  override name = "PayloadError";
}

interface TensorEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

type NumericArray = { new (buffer: ArrayBuffer): ArrayData; readonly BYTES_PER_ELEMENT: number };

const VIEWS: Readonly<Record<string, NumericArray>> = {
  F64: Float64Array,
  F32: Float32Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};

/** Decode a payload into its document with arrays in place. Throws PayloadError on anything malformed. */
export function decodePayload<T = Record<string, unknown>>(buffer: ArrayBuffer): T {
  const { header, start } = readHeader(buffer);
  const text = (header["__metadata__"] as Record<string, unknown> | undefined)?.["document"];
  if (typeof text !== "string") throw new PayloadError("the payload carries no document");
  const arrays = new Map<string, NdArray>();
  for (const [name, entry] of Object.entries(header)) {
    if (name !== "__metadata__") arrays.set(name, readTensor(buffer, start, name, entry as TensorEntry));
  }
  return place(parse(text, "the document"), arrays) as T;
}

function readHeader(buffer: ArrayBuffer): { header: Record<string, unknown>; start: number } {
  if (buffer.byteLength < 8) throw new PayloadError("the payload is shorter than its header");
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  if (length > buffer.byteLength - 8) throw new PayloadError("the payload was cut off");
  const header = parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)), "the header");
  if (typeof header !== "object" || header === null) throw new PayloadError("the header is not an object");
  return { header: header as Record<string, unknown>, start: 8 + length };
}

function readTensor(buffer: ArrayBuffer, start: number, name: string, entry: TensorEntry): NdArray {
  const [from, to] = entry.data_offsets;
  if (!(from >= 0 && from <= to && start + to <= buffer.byteLength)) {
    throw new PayloadError(`the array ${name} lies outside the payload`);
  }
  const bytes = buffer.slice(start + from, start + to); // a copy is aligned, and lets the payload be freed
  const data = readNumbers(bytes, entry.dtype, name);
  const count = entry.shape.reduce((product, size) => product * size, 1);
  if (data.length !== count) throw new PayloadError(`the array ${name} does not fill its shape`);
  return { data, shape: entry.shape, dtype: entry.dtype };
}

function readNumbers(bytes: ArrayBuffer, dtype: string, name: string): ArrayData {
  const View = VIEWS[dtype];
  if (View && bytes.byteLength % View.BYTES_PER_ELEMENT === 0) return new View(bytes);
  if (dtype === "I64") return Float64Array.from(new BigInt64Array(bytes), Number);
  if (dtype === "U64") return Float64Array.from(new BigUint64Array(bytes), Number);
  if (dtype === "F16") return Float32Array.from(new Uint16Array(bytes), halfToNumber);
  if (dtype === "BF16") return new Float32Array(Uint32Array.from(new Uint16Array(bytes), (bits) => bits << 16).buffer);
  throw new PayloadError(`the array ${name} has the unknown type ${dtype}`);
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function place(value: unknown, arrays: ReadonlyMap<string, NdArray>): unknown {
  if (Array.isArray(value)) return value.map((item) => place(item, arrays));
  if (typeof value !== "object" || value === null) return value;
  if ("$array" in value) {
    const array = arrays.get(String(value.$array));
    if (!array) throw new PayloadError(`the array ${String(value.$array)} is missing`);
    return array;
  }
  if ("$float" in value) return { nan: NaN, inf: Infinity, "-inf": -Infinity }[String(value.$float)] ?? NaN;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, place(item, arrays)]));
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new PayloadError(`${what} is not JSON`);
  }
}
