import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Surfaces for the offline report: a script of its own, which only reports with a surface carry. */
export default defineConfig({
  root: here("parts/surface"),
  publicDir: false,
  define: { "process.env.NODE_ENV": '"production"' },
  build: {
    outDir: here("../src/pellucid/server/static/report"),
    emptyOutDir: false,
    target: "es2022",
    lib: {
      entry: here("parts/surface/scene.ts"),
      name: "PellucidScene",
      formats: ["iife"],
      fileName: () => "scene.js",
    },
  },
});
