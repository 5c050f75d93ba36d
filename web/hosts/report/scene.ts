/**
 * Stands for `parts/surface/scene` in the report: drawing in three dimensions is a script of its own there, so that
 * reports without a surface do without it. Where it is missing a surface's fallback is shown.
 */

import type * as scene from "../../parts/surface/scene";

declare global {
  var PellucidScene: typeof scene | undefined;
}

export const openStage: typeof scene.openStage = (onlost) => {
  if (!globalThis.PellucidScene) throw new Error("this report carries no script for surfaces");
  return globalThis.PellucidScene.openStage(onlost);
};
