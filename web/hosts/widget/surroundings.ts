/** Whether the notebook around a widget is dark: what it says of itself, else what the system wishes. */

export function isDark(page: Document = document): boolean {
  const { body, documentElement: root } = page;
  const jupyter = body.dataset["jpThemeLight"];
  if (jupyter) return jupyter === "false";
  for (const element of [body, root]) {
    if (/vscode-(dark|high-contrast(?!-light))/.test(element.className)) return true;
    if (/vscode-(light|high-contrast-light)/.test(element.className)) return false;
    const said = element.dataset["theme"] ?? element.getAttribute("theme");
    if (said === "dark" || element.classList.contains("dark")) return true;
    if (said === "light" || element.classList.contains("light")) return false;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Call back whenever that may have changed. Returns how to stop. */
export function watchDark(changed: (dark: boolean) => void): () => void {
  const tell = (): void => changed(isDark());
  const watcher = new MutationObserver(tell);
  for (const element of [document.body, document.documentElement]) watcher.observe(element, { attributes: true });
  const query = matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", tell);
  return () => {
    watcher.disconnect();
    query.removeEventListener("change", tell);
  };
}
