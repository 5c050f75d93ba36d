/** Which runs a search text means: every word must occur somewhere in what is said of the run. */

import type { RunSummary } from "../../api/types";

export function searchRuns(runs: readonly RunSummary[], text: string): readonly RunSummary[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return runs;
  return runs.filter((run) => {
    const said = [run.id, run.name, run.status, run.task, run.modality, run.source, run.model, run.device, run.kind]
      .join("\n")
      .toLowerCase();
    return words.every((word) => said.includes(word));
  });
}
