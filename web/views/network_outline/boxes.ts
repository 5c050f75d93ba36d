/** What the boxes of a network diagram say: a layer or a folded group, its shapes, parameters and health. */

import type { LayerOutline, NetworkOutline } from "../../api/types";
import { formatNumber, formatPercent } from "../../parts/format";
import { judge, STATES, worst, type Health, type HealthState, type LayerRow, type Sign, type SignName } from "./health";
import type { TreeNode } from "./tree";

/** The content of one box. */
export interface BoxContent {
  node: TreeNode;
  isGroup: boolean;
  name: string;
  /** "Conv2d · 3×3, 16 → 32", or what a group holds. */
  about: string;
  shape: string;
  parameters: number;
  /** Of a group: the worst of each sign over its layers. */
  signs: Sign[];
  state: HealthState;
  /** How many layers of a group are in each state. */
  counts: Record<HealthState, number>;
}

export const STATE_WORDS: Record<HealthState, string> = {
  ok: "ok",
  watch: "watch",
  trouble: "trouble",
  unknown: "no data",
};

/** Axes of a tensor as "16 × 14 × 14"; a dash where it is no single tensor. */
export function formatShape(shape: readonly number[]): string {
  return shape.length ? shape.join(" × ") : "–";
}

/** A sign's value in its own unit. */
export function formatSign(sign: Sign): string {
  const isShare = sign.name === "dead" || sign.name === "saturation";
  return isShare && Number.isFinite(sign.value) ? formatPercent(sign.value) : formatNumber(sign.value, 3);
}

/** The health of every layer, in the order of the outline. */
export function judgeAll(outline: NetworkOutline, rows: ReadonlyMap<string, LayerRow>): (Health | null)[] {
  return outline.layers.map((layer) => {
    const row = rows.get(layer.name);
    return row ? judge(row, layer.trainable_parameters > 0) : null;
  });
}

/** Fill the box of a layer or of a group. */
export function describeBox(
  node: TreeNode,
  layers: readonly LayerOutline[],
  health: readonly (Health | null)[],
): BoxContent {
  const inside = node.layers.map((index) => layers[index]!);
  const states = node.layers.map((index) => health[index]?.state ?? "unknown");
  const counts: Record<HealthState, number> = { unknown: 0, ok: 0, watch: 0, trouble: 0 };
  for (const state of states) counts[state] += 1;
  const isGroup = node.layer < 0;
  return {
    node,
    isGroup,
    name: node.label,
    about: isGroup ? describeGroup(node, inside) : describeLayer(inside[0]!),
    shape: formatShape(inside.at(-1)!.output_shape),
    parameters: inside.reduce((sum, layer) => sum + layer.parameters, 0),
    signs: isGroup
      ? worstSigns(node.layers.flatMap((index) => health[index]?.signs ?? []))
      : (health[node.layer]?.signs ?? []),
    state: worst(states),
    counts,
  };
}

function describeLayer(layer: LayerOutline): string {
  const calls = layer.calls > 1 ? ` · runs ${layer.calls} ×` : "";
  return (layer.description ? `${layer.kind} · ${layer.description}` : layer.kind) + calls;
}

function describeGroup(node: TreeNode, inside: readonly LayerOutline[]): string {
  const kinds = [...new Set(inside.map((layer) => layer.kind))];
  const listed = kinds.slice(0, 3).join(", ") + (kinds.length > 3 ? " …" : "");
  const alike = node.repeats > 1 ? `${node.repeats} alike · ` : "";
  return `${alike}${inside.length} layers: ${listed}`;
}

function worstSigns(signs: readonly Sign[]): Sign[] {
  const found = new Map<SignName, Sign>();
  for (const sign of signs) {
    const known = found.get(sign.name);
    if (!known || STATES.indexOf(sign.state) > STATES.indexOf(known.state)) found.set(sign.name, sign);
  }
  return [...found.values()];
}

/** What a screen reader says of a box. */
export function sayBox(box: BoxContent): string {
  const signs = box.signs
    .filter((sign) => sign.state !== "ok")
    .map((sign) => `${sign.label} ${formatSign(sign)}: ${sign.finding}`);
  const parts = [
    box.name,
    box.about,
    `output ${box.shape}`,
    `${box.parameters.toLocaleString("en-GB")} parameters`,
    STATE_WORDS[box.state],
    ...signs,
  ];
  return parts.join(", ") + (box.isGroup ? "; press Enter to unfold" : "");
}
