/** The address bar as reactive state. Moving to another page or tab makes history; setting something in a view does not. */

import { readPlace, readState, writeAddress, type Place, type ViewState } from "./address";

const WRITE_AFTER_MS = 150; // browsers refuse more than a few hundred changes of the address in half a minute

class Router {
  place: Place = $state.raw({ page: "runs" });
  state: ViewState = $state.raw(readState(""));
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Read the address, and follow it from now on. */
  start(): void {
    this.#read();
    window.addEventListener("popstate", () => this.#read());
    window.addEventListener("pagehide", () => this.#write());
    document.addEventListener("click", (event) => this.#follow(event));
  }

  /** Set something in the present view; the address follows a moment later, without a step in history. */
  set(change: Partial<ViewState>): void {
    this.state = { ...this.state, ...change };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#write(), WRITE_AFTER_MS);
  }

  /** Go somewhere, as a step in history. */
  go(address: string): void {
    this.#write();
    history.pushState(null, "", address);
    this.#read();
    window.scrollTo(0, 0);
  }

  /** Go to the present page in a changed state, as a step in history. */
  move(change: Partial<ViewState>): void {
    const scroll = window.scrollY;
    this.go(writeAddress(this.place, { ...this.state, ...change }));
    window.scrollTo(0, scroll);
  }

  #read(): void {
    clearTimeout(this.#timer);
    this.place = readPlace(location.pathname);
    this.state = readState(location.search);
  }

  #write(): void {
    clearTimeout(this.#timer);
    const address = writeAddress(this.place, this.state);
    if (address !== location.pathname + location.search) history.replaceState(history.state, "", address);
  }

  /** Links within the app change the page without loading it. */
  #follow(event: MouseEvent): void {
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    const link = (event.target as Element | null)?.closest<HTMLAnchorElement>("a[href]");
    if (!link || link.target || link.download || link.origin !== location.origin) return;
    if (link.pathname.startsWith("/api/") || link.getAttribute("href")?.startsWith("#")) return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

export const router = new Router();
