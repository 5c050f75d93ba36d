import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** The app: one page with hashed assets, served by `pellucid.server`. `npm run dev` proxies to `pellucid open`. */
export default defineConfig({
  root: here("hosts/page"),
  plugins: [svelte({ configFile: here("svelte.config.js") })],
  build: {
    outDir: here("../src/pellucid/server/static"),
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // nothing as data: in scripts, so that the content security policy stays strict
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { "/api": { target: process.env.PELLUCID_SERVER ?? "http://127.0.0.1:8765", ws: true } },
  },
});
