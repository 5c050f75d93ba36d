/** The layers of a run that anything was recorded of, in the order in which they run. */

import { distinct, type Frame } from "../api/frames";
import type { NetworkOutline } from "../api/types";

export function layerNames(outline: NetworkOutline | null, layers: Frame): string[] {
  const recorded = distinct(layers, "layer").filter(Boolean);
  if (!outline) return recorded;
  const order = outline.layers.map((layer) => layer.name);
  if (recorded.length === 0) return order;
  const seen = new Set(recorded);
  return [...order.filter((name) => seen.has(name)), ...recorded.filter((name) => !order.includes(name))];
}
