/** What a notebook gives a widget: traits kept in step with Python's, and messages both ways. */

export interface Message {
  readonly kind: "views" | "answer" | "refusal";
  /** The question that is answered. */
  readonly turn?: number;
  readonly message?: string;
  readonly place?: string;
  readonly remedy?: string;
}

export type Listener = (message: Message, buffers: readonly DataView[]) => void;

export interface Traits {
  /** The stem of the result's schema. */
  readonly view: string;
  readonly payload: DataView;
  /** Whether Python answers questions about it. */
  readonly live: boolean;
  /** Names the built views, so that a page loads them once. */
  readonly bundle: string;
  readonly position: number;
  readonly selected: string;
}

export interface Model {
  get<Name extends keyof Traits>(name: Name): Traits[Name];
  set<Name extends keyof Traits>(name: Name, value: Traits[Name]): void;
  save_changes(): void;
  send(content: unknown): void;
  on(event: "msg:custom", listener: Listener): void;
  on(event: string, listener: () => void): void;
  off(event: string, listener: Listener | (() => void)): void;
}

/** The built views as a module. */
export interface Views {
  /** Draw the model's result in an element; returns how to take it down. */
  mountResult(model: Model, element: HTMLElement, styles: string): () => void;
}

/** The bytes of a trait or a message's buffer, by themselves. */
export function bytesOf(view: DataView): ArrayBuffer {
  return new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength).slice().buffer;
}
