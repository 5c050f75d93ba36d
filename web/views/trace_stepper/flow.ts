/** What one stop looks at: the tensors on the left, the operation, the tensor on the right, and which way things flow. */

import type { StepperStop, TraceStepper } from "../../api/types";
import { pictureOf, type Picture } from "./entries";
import { stepOf, valueOf } from "./walk";

export interface Flow {
  readonly left: readonly Picture[];
  /** How many more tensors the step reads. */
  readonly more: number;
  readonly right: Picture | null;
  readonly op: string;
  /** Gradients flow from right to left. */
  readonly backward: boolean;
  /** How thick the line to each tensor on the left is, 0 to 1. */
  readonly weights: readonly number[];
  /** Why the right side is empty. */
  readonly missing: string;
}

const MOST = 3;

export function flowOf(result: TraceStepper, stop: StepperStop): Flow {
  if (stop.phase === "update") return updateOf(result, stop);
  const backward = stop.phase === "backward";
  const kind = backward ? "gradient" : "value";
  const sources = [...new Set(result.edges.filter((edge) => edge.step === stop.step).map((edge) => edge.source))];
  const pictures = sources.flatMap((id) => pictureOf(valueOf(result, id), kind) ?? []);
  const left = pictures.slice(0, MOST);
  const norms = left.map(({ value }) => (Number.isFinite(value.gradient_norm) ? value.gradient_norm : 0));
  const top = Math.max(...norms, 0);
  const right = pictureOf(valueOf(result, stop.value), kind);
  return {
    left,
    more: pictures.length - left.length,
    right,
    op: stepOf(result, stop)?.op ?? "",
    backward,
    weights: norms.map((norm) => (backward && top > 0 ? norm / top : 0.35)),
    missing: right ? "" : backward ? "No gradient reaches this output." : "This value was not kept.",
  };
}

function updateOf(result: TraceStepper, stop: StepperStop): Flow {
  const value = valueOf(result, stop.value);
  const left = (["value", "gradient"] as const).flatMap((kind) => pictureOf(value, kind) ?? []);
  const right = pictureOf(value, "update");
  return {
    left,
    more: 0,
    right,
    op: result.optimizer || "no optimiser",
    backward: false,
    weights: left.map(() => 0.35),
    missing: right ? "" : "The optimiser does not move this parameter.",
  };
}
