/** Light or dark: the system's wish unless the person chose. Canvases read `theme.dark` to redraw when it changes. */

import { flushSync } from "svelte";

export type ThemeChoice = "system" | "light" | "dark";

const KEY = "pellucid-theme";

class Theme {
  #roots = new Set<HTMLElement>();
  #choice = $state<ThemeChoice>("system");
  #systemDark = $state(false);
  #printing = $state(false);

  /** Whether dark colours are shown now. */
  dark = $derived(!this.#printing && (this.#choice === "system" ? this.#systemDark : this.#choice === "dark"));

  get choice(): ThemeChoice {
    return this.#choice;
  }

  /** Choose and remember; `remember: false` for a choice that came with a link. */
  choose(choice: ThemeChoice, remember = true): void {
    this.#choice = choice;
    if (remember) store(choice);
    this.#apply();
  }

  /** Where the colours are read: the document, or the newest element of ours in a page that is not ours. */
  get root(): HTMLElement {
    return [...this.#roots].at(-1) ?? document.documentElement;
  }

  /** Colour one element and leave the page around it alone. Returns how to let go of it. */
  adopt(root: HTMLElement, dark: boolean): () => void {
    this.#roots.add(root);
    this.choose(dark ? "dark" : "light", false);
    return () => this.#roots.delete(root);
  }

  /** Follow the system and the remembered choice; called once by each host. */
  start(override: string | null = null): void {
    const query = window.matchMedia("(prefers-color-scheme: dark)");
    this.#systemDark = query.matches;
    query.addEventListener("change", (event) => {
      this.#systemDark = event.matches;
      this.#apply();
    });
    window.addEventListener("beforeprint", () => this.#print(true));
    window.addEventListener("afterprint", () => this.#print(false));
    const wanted = override ?? recall();
    this.#choice = wanted === "light" || wanted === "dark" ? wanted : "system";
    this.#apply();
  }

  /** Paper is white. What is drawn on canvases must be drawn anew before the page is taken. */
  #print(printing: boolean): void {
    this.#printing = printing;
    this.#apply();
    flushSync();
  }

  #apply(): void {
    const roots = this.#roots.size ? this.#roots : [document.documentElement];
    for (const root of roots) root.dataset.theme = this.dark ? "dark" : "light";
  }
}

export const theme = new Theme();

/** Storage may be forbidden (file:, private windows): then the choice lasts as long as the page. */
function store(choice: ThemeChoice): void {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    return;
  }
}

function recall(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** A custom property's colour as the canvas needs it: `var(--x)` and `--x` are resolved, anything else is kept. */
export function resolveColor(color: string, element: Element = theme.root): string {
  const name = /^(?:var\()?(--[\w-]+)\)?$/.exec(color)?.[1];
  if (!name) return color;
  const value = getComputedStyle(element).getPropertyValue(name).trim();
  return value ? resolveColor(value, element) : "#888888";
}
