import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { luminance, type Rgb } from "../../parts/color";

const WEB = join(import.meta.dirname, "../..");
const css = readFileSync(join(WEB, "styles/tokens.css"), "utf8");

function tokens(block: string): Map<string, string> {
  return new Map(
    [...block.matchAll(/--([\w-]+):\s*(#[\da-f]{6})\s*;/g)].map((match) => [match[1] ?? "", match[2] ?? ""]),
  );
}

const [, lightBlock = "", darkBlock = ""] =
  /:root,\n:host \{([^]*?)\n\}[^]*?data-theme="dark"\]\) \{([^]*?)\n\}/.exec(css) ?? [];
const light = tokens(lightBlock);
const dark = tokens(darkBlock);

function contrast(one: string, other: string): number {
  const [a, b] = [one, other].map((hex) =>
    luminance([1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)) as unknown as Rgb),
  );
  return (Math.max(a ?? 0, b ?? 0) + 0.05) / (Math.min(a ?? 0, b ?? 0) + 0.05);
}

describe.each([
  ["light", light],
  ["dark", dark],
])("the %s colours", (_, colors) => {
  const color = (name: string) => colors.get(name) ?? "#000000";

  it.each(["ink", "ink-2", "ink-3", "accent-ink", "good", "warning", "bad"])(
    "text in %s reads on every surface",
    (ink) => {
      for (const surface of ["page", "surface", "surface-sunken", "surface-raised"]) {
        expect(contrast(color(ink), color(surface))).toBeGreaterThanOrEqual(4.5);
      }
    },
  );

  it.each(["good", "warning", "bad"])("%s reads on its own soft ground", (tone) => {
    expect(contrast(color(tone), color(`${tone}-soft`))).toBeGreaterThanOrEqual(4.5);
  });

  it("categories stand out from the surface", () => {
    for (let index = 1; index <= 8; index++) {
      expect(contrast(color(`category-${index}`), color("surface"))).toBeGreaterThanOrEqual(3);
    }
  });
});

describe("the content security policy", () => {
  it("is met: no style attribute in any markup", () => {
    const files = ["parts", "views", "hosts"].flatMap((folder) =>
      readdirSync(join(WEB, folder), { recursive: true, encoding: "utf8" }).map((name) => join(WEB, folder, name)),
    );
    const found = files.filter((file) => file.endsWith(".svelte") && /\sstyle=/.test(readFileSync(file, "utf8")));
    expect(found).toEqual([]);
  });
});
