/** What is drawn of a local linear map: vectors by place, and the output split into its linear part and the rest. */

import type { NdArray } from "../../api/payload";
import type { InputJacobian } from "../../api/types";

/** A row of a matrix. */
export function rowOf(matrix: NdArray, row: number): ArrayLike<number> {
  const wide = matrix.shape[1] ?? 0;
  return matrix.data.subarray(row * wide, (row + 1) * wide);
}

export interface Entry {
  readonly label: string;
  readonly value: number;
}

/** The entries of a vector with the largest absolute values, largest first. */
export function strongest(values: ArrayLike<number>, labels: readonly string[], most: number): Entry[] {
  return Array.from(values, (value, index) => ({ label: labels[index] ?? `#${index}`, value }))
    .sort((a, b) => Math.abs(b.value) - Math.abs(a.value))
    .slice(0, most);
}

export interface SplitOutput {
  readonly label: string;
  readonly linear: number;
  readonly bias: number;
  readonly output: number;
}

/** Each output as J x + the rest. */
export function splitOf(result: InputJacobian): SplitOutput[] {
  return Array.from(result.output.data, (output, index) => ({
    label: result.output_names[index] ?? `#${index}`,
    linear: result.linear_part.data[index] ?? NaN,
    bias: result.bias_part.data[index] ?? NaN,
    output,
  }));
}

/** A shape in words: 1 × 28 × 28. */
export function sayShape(shape: readonly number[]): string {
  return shape.join(" × ") || "1";
}

/** How much of an eigenvector's part of the input is in the output: 1 kept, 0 removed; NaN where there was little. */
export function keptShare(result: InputJacobian, vector: number): number {
  const basis = result.eigenbasis;
  const before = basis?.input_parts.data[vector] ?? NaN;
  const most = Math.max(0, ...Array.from(basis?.input_parts.data ?? [], Math.abs));
  return Math.abs(before) > 0.05 * most ? (basis?.output_parts.data[vector] ?? NaN) / before : NaN;
}
