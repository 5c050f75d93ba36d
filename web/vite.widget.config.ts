import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** In a notebook a cell's width counts and not the window's: every question about width is asked of the container. */
export function askContainer(styles: string): string {
  return styles
    .replace(/@media screen and \((?=[^()]*width)/g, "@container (")
    .replace(/@media \((?=[^()]*width)/g, "@container (");
}

const containers: Plugin = {
  name: "ask-container",
  enforce: "pre",
  transform(code, id) {
    return id.includes(".css") && !id.includes("node_modules") ? askContainer(code) : null;
  },
};

/**
 * The views for notebooks: `loader.js`, which every widget carries, and `views.js` with `views.css`, which a page loads
 * once. Two builds, chosen by `--mode`, so that they share no chunk.
 */
export default defineConfig(({ mode }) => {
  const loader = mode === "loader";
  return {
    root: here("hosts/widget"),
    publicDir: false,
    plugins: [containers, svelte({ configFile: here("svelte.config.js") })],
    define: { "process.env.NODE_ENV": '"production"' },
    build: {
      outDir: here("../src/pellucid/server/static/widget"),
      emptyOutDir: loader,
      target: "es2022",
      minify: true,
      // One file: what a notebook loads has no address that other files could be found beside.
      rolldownOptions: { output: { codeSplitting: false } },
      lib: {
        entry: here(loader ? "hosts/widget/loader.ts" : "hosts/widget/main.ts"),
        formats: ["es"],
        fileName: () => (loader ? "loader.js" : "views.js"),
        cssFileName: "views",
      },
    },
  };
});
