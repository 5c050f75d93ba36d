import { afterEach, describe, expect, it } from "vitest";
import { askThrough } from "../../hosts/widget/asker";
import { bytesOf, type Listener, type Message, type Model } from "../../hosts/widget/model";
import { isDark } from "../../hosts/widget/surroundings";
import { askContainer } from "../../vite.widget.config";

describe("a widget's surroundings", () => {
  afterEach(() => {
    for (const element of [document.body, document.documentElement])
      for (const { name } of [...element.attributes]) element.removeAttribute(name);
  });
  it.each([
    ["data-jp-theme-light", "false", true],
    ["data-jp-theme-light", "true", false],
    ["class", "vscode-dark", true],
    ["class", "vscode-light", false],
    ["class", "vscode-high-contrast", true],
    ["class", "vscode-high-contrast-light", false],
    ["data-theme", "dark", true],
    ["theme", "dark", true],
    ["class", "light", false],
  ])("say %s=%s", (name, value, dark) => {
    document.body.setAttribute(name, value);
    expect(isDark()).toBe(dark);
  });
});

function kernel(): { model: Model; sent: { turn: number }[]; hear: (message: Message, bytes?: ArrayBuffer) => void } {
  const listeners = new Set<Listener>();
  const sent: { turn: number }[] = [];
  const model = {
    send: (content: unknown) => sent.push(content as { turn: number }),
    on: (_: string, listener: Listener) => listeners.add(listener),
    off: (_: string, listener: Listener) => listeners.delete(listener),
  } as unknown as Model;
  const hear = (message: Message, bytes?: ArrayBuffer): void => {
    for (const listener of [...listeners]) listener(message, bytes ? [new DataView(bytes)] : []);
  };
  return { model, sent, hear };
}

function payload(document: object): ArrayBuffer {
  const header = new TextEncoder().encode(JSON.stringify({ __metadata__: { document: JSON.stringify(document) } }));
  const bytes = new Uint8Array(8 + header.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  return bytes.buffer;
}

describe("questions to the kernel", () => {
  it("are answered in any order, each its own", async () => {
    const { model, sent, hear } = kernel();
    const { ask } = askThrough(model);
    const [first, second] = [ask({ ask: "loss" }), ask({ ask: "check" })];
    hear({ kind: "answer", turn: -1 }, payload({ title: "another view's" }));
    hear({ kind: "answer", turn: sent[1]!.turn }, payload({ title: "second" }));
    hear({ kind: "answer", turn: sent[0]!.turn }, payload({ title: "first" }));
    expect(await first).toEqual({ title: "first" });
    expect(await second).toEqual({ title: "second" });
  });
  it("are refused with place and remedy", async () => {
    const { model, sent, hear } = kernel();
    const { ask, stop } = askThrough(model);
    const refused = ask({ ask: "loss" });
    hear({ kind: "refusal", turn: sent[0]!.turn, message: "no", place: "loss", remedy: "give one" });
    await expect(refused).rejects.toThrow("no · where: loss · give one");
    const damaged = ask({ ask: "loss" });
    hear({ kind: "answer", turn: sent[1]!.turn }, new ArrayBuffer(4));
    await expect(damaged).rejects.toThrow("shorter than its header");
    stop();
  });
});

describe("bytes and styles", () => {
  it("are taken out of a larger buffer", () => {
    const whole = Uint8Array.from([1, 2, 3, 4]);
    expect([...new Uint8Array(bytesOf(new DataView(whole.buffer, 1, 2)))]).toEqual([2, 3]);
  });
  it("ask the container's width, and nothing else of it", () => {
    expect(askContainer("@media (width < 700px) {} @media screen and (width >= 9px) {}")).toBe(
      "@container (width < 700px) {} @container (width >= 9px) {}",
    );
    expect(askContainer("@media print {} @media (prefers-reduced-motion: reduce) {}")).not.toContain("@container");
  });
});
