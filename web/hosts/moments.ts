/** Large results, asked for one at a time and kept while there is room for them. */

import type { AnyResult } from "./results";

const ROOM = 192 * 2 ** 20;

type Read = (name: string) => Promise<AnyResult>;

/** Holds the results that were looked at last, up to `room` bytes of arrays. */
export class MomentCache {
  readonly #read: Read;
  readonly #readBrief: Read;
  readonly #room: number;
  /** The one looked at longest ago first. */
  readonly #kept = new Map<string, Promise<AnyResult>>();
  readonly #sizes = new Map<string, number>();

  /** `readBrief` reads only what moments are compared by; where that saves nothing it is left out. */
  constructor(read: Read, { readBrief = null, room = ROOM }: { readBrief?: Read | null; room?: number } = {}) {
    this.#read = read;
    this.#readBrief = readBrief ?? read;
    this.#room = room;
  }

  /** The result of that name in that version; a failure is forgotten, so that it can be asked for again. */
  get(name: string, version = "", brief = false): Promise<AnyResult> {
    const short = brief && this.#readBrief !== this.#read;
    const key = `${name} ${version}${short ? " brief" : ""}`;
    const known = this.#kept.get(key);
    if (known) {
      this.#kept.delete(key);
      this.#kept.set(key, known);
      return known;
    }
    const asked = short ? this.#readBrief(name) : this.#read(name);
    this.#kept.set(key, asked);
    asked.then(
      (result) => this.#weigh(key, bytesOf(result)),
      () => this.#forget(key),
    );
    return asked;
  }

  #weigh(key: string, bytes: number): void {
    if (!this.#kept.has(key)) return;
    this.#sizes.set(key, bytes);
    let held = [...this.#sizes.values()].reduce((sum, one) => sum + one, 0);
    for (const oldest of [...this.#kept.keys()]) {
      if (held <= this.#room || oldest === key) break;
      held -= this.#sizes.get(oldest) ?? 0;
      this.#forget(oldest);
    }
  }

  #forget(key: string): void {
    this.#kept.delete(key);
    this.#sizes.delete(key);
  }
}

/** What the arrays of a result take. */
export function bytesOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  if (ArrayBuffer.isView(value)) return value.byteLength;
  return Object.values(value).reduce<number>((sum, one) => sum + bytesOf(one), 0);
}

const FOLLOW_MS = 110;

/** A step of so many milliseconds from one place among the moments towards another, quick at first; it arrives. */
export function advance(from: number, to: number, passed: number): number {
  const next = to + (from - to) * Math.exp(-passed / FOLLOW_MS);
  return Math.abs(next - to) < 0.004 ? to : next;
}
