/** A number dragged where it is drawn: on a neuron, an edge or a cell. The dial of the entry asks and tells. */

import type { Selection } from "./entries";

const BEGINS = 4; // pixels before a press becomes a drag

export class Pull {
  /** What is dragged now; null for nothing. */
  entry = $state.raw<Selection | null>(null);
  /** How far it is dragged upwards, in pixels. */
  by = $state(0);
  /** What the dial says of it, for the drawing to show beside the pointer. */
  told = $state("");
  #pressed: { readonly entry: Selection; readonly y: number } | null = null;
  #dragged = false;

  /** A press on what may be dragged. Fingers scroll; they have the dial. */
  press(event: PointerEvent, entry: Selection | null): void {
    this.#dragged = false;
    this.#pressed = entry && event.button === 0 && event.pointerType !== "touch" ? { entry, y: event.clientY } : null;
  }

  /** Returns whether a drag goes on; `begin` is called as it starts. */
  move(event: PointerEvent & { currentTarget: HTMLElement }, begin: (entry: Selection) => void): boolean {
    if (!this.#pressed) return false;
    const by = this.#pressed.y - event.clientY;
    if (!this.entry) {
      if (Math.abs(by) < BEGINS) return false;
      event.currentTarget.setPointerCapture(event.pointerId);
      this.#dragged = true;
      this.told = "";
      this.entry = this.#pressed.entry;
      begin(this.entry);
    }
    this.by = by;
    return true;
  }

  release(): void {
    this.#pressed = null;
    this.entry = null;
    this.by = 0;
  }

  /** Whether the click that ends a drag is none. */
  tookClick(): boolean {
    const dragged = this.#dragged;
    this.#dragged = false;
    return dragged;
  }
}
