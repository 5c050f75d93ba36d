/** The views as a module for notebooks: each result in a shadow root of its own, so that no style goes in or out. */

import baseStyles from "../../styles/base.css?inline";
import { mount, unmount } from "svelte";
import { theme } from "../../parts/theme.svelte";
import type { Model } from "./model";
import { isDark, watchDark } from "./surroundings";
import Widget from "./Widget.svelte";
import ownStyles from "./widget.css?inline";

const sheets = new Map<string, CSSStyleSheet>();

export function mountResult(model: Model, element: HTMLElement, styles: string): () => void {
  const host = element.appendChild(document.createElement("div"));
  host.dataset["lmSuppressShortcuts"] = "true"; // the arrow keys are the walk's here, not the notebook's
  const shadow = host.attachShadow({ mode: "open" });
  shadow.adoptedStyleSheets = [sheetOf(baseStyles + ownStyles), sheetOf(styles)];
  const target = shadow.appendChild(document.createElement("div"));
  target.className = "pellucid";
  const release = theme.adopt(host, isDark());
  const stop = watchDark((dark) => theme.choose(dark ? "dark" : "light", false));
  const shown = mount(Widget, { target, props: { model } });
  return () => {
    stop();
    void unmount(shown);
    release();
    host.remove();
  };
}

/** One parsed sheet for all widgets of the page. */
function sheetOf(text: string): CSSStyleSheet {
  let sheet = sheets.get(text);
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    sheets.set(text, sheet);
  }
  return sheet;
}
