/**
 * The script that every widget carries in its state, and so a small one: it asks Python for the views once a page, and
 * hands them the widget. Whichever widget asked, all of the page use what came.
 */

import { bytesOf, type Listener, type Model, type Views } from "./model";

interface Loaded {
  readonly views: Views;
  readonly styles: string;
}

const PATIENCE_MS = 3000;
const loads = ((globalThis as Record<symbol, unknown>)[Symbol.for("pellucid views")] ??= new Map()) as Map<
  string,
  Promise<Loaded>
>;

/** The page's views. Where the widget that asked went away before it was answered, the next asks itself. */
async function loadViews(model: Model): Promise<Loaded> {
  const bundle = model.get("bundle");
  const begun = loads.get(bundle);
  if (begun) {
    const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), PATIENCE_MS));
    const found = await Promise.race([begun.catch(() => null), late]);
    if (found) return found;
  }
  const asked = ask(model);
  loads.set(bundle, asked);
  return asked;
}

function ask(model: Model): Promise<Loaded> {
  return new Promise((resolve, reject) => {
    const hear: Listener = (message, buffers) => {
      if (message.kind !== "views" || buffers.length < 2) return;
      model.off("msg:custom", hear);
      const [script, styles] = buffers.map((buffer) => new TextDecoder().decode(bytesOf(buffer))) as [string, string];
      const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
      import(/* @vite-ignore */ address)
        .then((views: Views) => resolve({ views, styles }), reject)
        .finally(() => URL.revokeObjectURL(address));
    };
    model.on("msg:custom", hear);
    model.send({ kind: "views" });
  });
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  let gone = false;
  let remove = (): void => undefined;
  const waiting = setTimeout(() => (el.textContent = "Pellucid waits for the kernel, which is busy …"), 1500);
  loadViews(model)
    .then(({ views, styles }) => {
      clearTimeout(waiting);
      if (gone) return;
      el.textContent = "";
      remove = views.mountResult(model, el, styles);
    })
    .catch((error: unknown) => {
      clearTimeout(waiting);
      el.textContent = `Pellucid's views could not be loaded: ${String(error)}. Run the cell again.`;
    });
  return () => {
    gone = true;
    clearTimeout(waiting);
    remove();
  };
}

export default { render };
