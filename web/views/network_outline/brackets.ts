/** Brackets beside a network diagram: which unfolded group a stretch of boxes belongs to. */

import type { Box, Measures } from "./geometry";
import type { TreeNode } from "./tree";

export interface Bracket {
  node: TreeNode;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Pixels one level of brackets takes up. */
export const BRACKET = 22;

/** A bracket for every unfolded group, inner groups nearer to the boxes. */
export function placeBrackets(
  visible: readonly TreeNode[],
  boxes: readonly Box[],
  extent: { width: number; height: number },
  measures: Measures,
): Bracket[] {
  const spans = new Map<TreeNode, { low: number; high: number; level: number }>();
  visible.forEach((node, index) => {
    const box = boxes[index + 1]!;
    const [low, high] = measures.across ? [box.x, box.x + box.width] : [box.y, box.y + box.height];
    let level = 0;
    for (let group = node.parent; group && group.parent; group = group.parent, level += 1) {
      const span = spans.get(group) ?? { low, high, level };
      spans.set(group, {
        low: Math.min(span.low, low),
        high: Math.max(span.high, high),
        level: Math.max(span.level, level),
      });
    }
  });
  return [...spans].map(([node, { low, high, level }]) =>
    measures.across
      ? { node, x: low, y: extent.height + level * BRACKET, width: high - low, height: BRACKET - 4 }
      : { node, x: extent.width + level * BRACKET, y: low, width: BRACKET - 4, height: high - low },
  );
}

/** How many levels of brackets there are. */
export function bracketLevels(
  brackets: readonly Bracket[],
  extent: { width: number; height: number },
  across: boolean,
): number {
  return brackets.reduce(
    (most, { x, y }) => Math.max(most, Math.round((across ? y - extent.height : x - extent.width) / BRACKET + 1)),
    0,
  );
}
