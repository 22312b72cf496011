// Builds the console into web/dist: `npm run web`. Every asset carries a hash in its name but index.html.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2023",
    // The API answers with `script-src 'self'`: nothing may be inlined.
    assetsInlineLimit: 0,
    // It weighs its plugins at every build that the machine makes slow.
    rolldownOptions: { checks: { pluginTimings: false } },
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 200,
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8080", "/problems": "http://127.0.0.1:8080" } },
});
