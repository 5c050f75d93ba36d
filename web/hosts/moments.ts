/** Large results, asked for one at a time and kept while there is room for them. */

import type { AnyResult } from "./results";

const ROOM = 192 * 2 ** 20;

/** Holds the results that were looked at last, up to `room` bytes of arrays. */
export class MomentCache {
  readonly #read: (name: string) => Promise<AnyResult>;
  readonly #room: number;
  /** The one looked at longest ago first. */
  readonly #kept = new Map<string, Promise<AnyResult>>();
  readonly #sizes = new Map<string, number>();

  constructor(read: (name: string) => Promise<AnyResult>, room = ROOM) {
    this.#read = read;
    this.#room = room;
  }

  /** The result of that name; a failure is forgotten, so that it can be asked for again. */
  get(name: string): Promise<AnyResult> {
    const known = this.#kept.get(name);
    if (known) {
      this.#kept.delete(name);
      this.#kept.set(name, known);
      return known;
    }
    const asked = this.#read(name);
    this.#kept.set(name, asked);
    asked.then(
      (result) => this.#weigh(name, bytesOf(result)),
      () => this.#forget(name),
    );
    return asked;
  }

  #weigh(name: string, bytes: number): void {
    if (!this.#kept.has(name)) return;
    this.#sizes.set(name, bytes);
    let held = [...this.#sizes.values()].reduce((sum, one) => sum + one, 0);
    for (const oldest of [...this.#kept.keys()]) {
      if (held <= this.#room || oldest === name) break;
      held -= this.#sizes.get(oldest) ?? 0;
      this.#forget(oldest);
    }
  }

  #forget(name: string): void {
    this.#kept.delete(name);
    this.#sizes.delete(name);
  }
}

/** What the arrays of a result take. */
export function bytesOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  if (ArrayBuffer.isView(value)) return value.byteLength;
  return Object.values(value).reduce<number>((sum, one) => sum + bytesOf(one), 0);
}
