/** Questions to the trace behind a widget: sent to the kernel, answered in any order. */

import { decodePayload } from "../../api/payload";
import type { Explanation, TraceCheck, WhatIf } from "../../api/types";
import type { Ask } from "../../views/trace_stepper/questions";
import { bytesOf, type Listener, type Model } from "./model";

type Answer = Explanation | WhatIf | TraceCheck;
type Waiting = { readonly resolve: (answer: Answer) => void; readonly reject: (reason: Error) => void };

/** How to ask, and how to stop listening. */
export function askThrough(model: Model): { readonly ask: Ask; readonly stop: () => void } {
  const waiting = new Map<number, Waiting>();
  let last = Math.floor(Math.random() * 2 ** 31); // two views of one widget hear each other's answers
  const hear: Listener = (message, buffers) => {
    const asked = waiting.get(message.turn ?? -1);
    if (!asked) return;
    waiting.delete(message.turn!);
    if (message.kind === "answer" && buffers[0]) {
      try {
        asked.resolve(decodePayload<Answer>(bytesOf(buffers[0])));
      } catch (error) {
        asked.reject(error instanceof Error ? error : new Error(String(error)));
      }
    } else {
      const said = [message.message, message.place && `where: ${message.place}`, message.remedy];
      asked.reject(new Error(said.filter(Boolean).join(" · ")));
    }
  };
  model.on("msg:custom", hear);
  return {
    ask: (question) =>
      new Promise((resolve, reject) => {
        waiting.set(++last, { resolve, reject });
        model.send({ kind: "ask", turn: last, question });
      }),
    stop: () => model.off("msg:custom", hear),
  };
}
