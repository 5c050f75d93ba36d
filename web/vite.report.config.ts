import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The offline report: one script and one style sheet, which the server writes into a single HTML file. */
export default defineConfig({
  root: here("hosts/report"),
  publicDir: false,
  plugins: [svelte({ configFile: here("svelte.config.js") })],
  resolve: { alias: [{ find: /^\.\/surface\/scene$/, replacement: here("hosts/report/scene.ts") }] },
  define: { "process.env.NODE_ENV": '"production"' },
  build: {
    outDir: here("../src/pellucid/server/static/report"),
    emptyOutDir: true,
    target: "es2022",
    lib: {
      entry: here("hosts/report/main.ts"),
      name: "PellucidReport",
      formats: ["iife"],
      fileName: () => "report.js",
      cssFileName: "report",
    },
  },
});
