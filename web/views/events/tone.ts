/** How loudly an event of a run is shown. */

import { label, type Frame } from "../../api/frames";
import { formatMessage } from "../../parts/format";

export type EventTone = "neutral" | "good" | "warning" | "bad" | "info";

const TONES: readonly (readonly [RegExp, EventTone])[] = [
  [/error|fail|nan|diverg|corrupt/, "bad"],
  [/warn|interrupt|stopped|skipped|overhead|budget/, "warning"],
  [/finish|best|done|complete/, "good"],
  [/start|resum|early|check/, "info"],
];

/** The tone of a kind of event, by the words in its name. */
export function toneOf(kind: string): EventTone {
  return TONES.find(([words]) => words.test(kind.toLowerCase()))?.[1] ?? "neutral";
}

/** The message of an event. */
export function messageAt(events: Frame, row: number): string {
  return formatMessage(label(events, "message", row));
}
