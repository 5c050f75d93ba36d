/** What a stepper asks the trace behind it, and how it asks while a person drags. */

import type { Explanation, TraceCheck, WhatIf } from "../../api/types";
import type { EntryKind } from "./entries";

export type Question =
  | { readonly ask: EntryKind; readonly name: string; readonly index: readonly number[] }
  | { readonly ask: "what_if"; readonly name: string; readonly index: readonly number[]; readonly value: number }
  | { readonly ask: "loss" | "check" };

export type Ask = (question: Question) => Promise<Explanation | WhatIf | TraceCheck>;

/**
 * Asks one question at a time. Of those that come meanwhile only the latest is asked; every answer but one to a
 * forgotten question is handed on.
 */
export class LatestOnly<Asked, Answer> {
  #waiting: Asked | null = null;
  #busy = false;
  #turn = 0;

  constructor(
    private readonly ask: (question: Asked) => Promise<Answer>,
    private readonly receive: (answer: Answer, question: Asked) => void,
    private readonly fail: (reason: unknown) => void,
  ) {}

  put(question: Asked): void {
    this.#waiting = question;
    if (!this.#busy) void this.#run();
  }

  /** Whatever is under way is of no interest any more. */
  forget(): void {
    this.#waiting = null;
    this.#turn++;
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#waiting !== null) {
      const question = this.#waiting;
      const turn = this.#turn;
      this.#waiting = null;
      try {
        const answer = await this.ask(question);
        if (turn === this.#turn) this.receive(answer, question);
      } catch (reason) {
        if (turn === this.#turn) this.fail(reason);
      }
    }
    this.#busy = false;
  }
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
