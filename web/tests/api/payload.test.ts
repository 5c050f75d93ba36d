import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { decodePayload, PayloadError, type NdArray } from "../../api/payload";
import { pack } from "./pack";

function fromPython(): ArrayBuffer {
  const bytes = readFileSync(join(import.meta.dirname, "payload.safetensors"));
  return Uint8Array.from(bytes).buffer;
}

interface Example {
  rate: NdArray;
  inner: { loss: NdArray };
  rows: NdArray;
  flags: NdArray;
  image: NdArray;
  half: NdArray;
  suggestion: number;
  absent: null;
  bounds: number[];
  reason: string;
}

describe("what Python packed", () => {
  const example = decodePayload<Example>(fromPython());

  it("keeps numbers of every type, with their shapes", () => {
    expect([...example.rate.data]).toEqual([1e-5, 0.1, NaN]);
    expect(example.inner.loss).toMatchObject({ shape: [2, 3], dtype: "F32" });
    expect([...example.inner.loss.data]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...example.flags.data]).toEqual([1, 0, 1]);
    expect(example.image.data).toBeInstanceOf(Uint8Array);
    expect([...example.half.data]).toEqual([0.5, -2, 65504, 2 ** -24]);
  });

  it("gives 64-bit integers as doubles, exactly", () => {
    expect(example.rows.data).toBeInstanceOf(Float64Array);
    expect([...example.rows.data]).toEqual([0, 2 ** 40, -1]);
  });

  it("gives what JSON cannot say, texts and null", () => {
    expect(example.suggestion).toBeNaN();
    expect(example.bounds).toEqual([Infinity, -Infinity, 1.5]);
    expect(example.absent).toBeNull();
    expect(example.reason).toBe("größer als 0 · ≤ 3");
  });
});

describe("arrays that do not lie on a multiple of their size", () => {
  it("are read all the same", () => {
    for (const filler of ["", "a", "ab", "abc"]) {
      const buffer = pack(
        { filler, values: { $array: "values" } },
        { values: { data: Float64Array.of(1.5, -2), shape: [2] } },
      );
      expect([...decodePayload<{ values: NdArray }>(buffer).values.data]).toEqual([1.5, -2]);
    }
  });
});

describe("damaged payloads", () => {
  const whole = pack({ values: { $array: "values" } }, { values: { data: Float64Array.of(1, 2, 3), shape: [3] } });

  it.each([0, 4, 8, 40, whole.byteLength - 1])("cut off after %i bytes are refused", (length) => {
    expect(() => decodePayload(whole.slice(0, length))).toThrow(PayloadError);
  });

  it("that name an array which is not there are refused", () => {
    expect(() => decodePayload(pack({ values: { $array: "other" } }, {}))).toThrow(/other is missing/);
  });

  it("whose shape does not fit are refused", () => {
    const wrong = pack({}, { values: { data: Float64Array.of(1, 2, 3), shape: [2] } });
    expect(() => decodePayload(wrong)).toThrow(/does not fill its shape/);
  });

  it("that are no payload at all are refused", () => {
    expect(() => decodePayload(new TextEncoder().encode("<!doctype html><html></html>").buffer)).toThrow(PayloadError);
  });
});
