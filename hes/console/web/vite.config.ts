import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const HERE = dirname(fileURLToPath(import.meta.url));
const STATIC = join(HERE, "../static");

/** A `.gz` beside each text file, which the API serves to those that take it. */
function gzipSiblings(): Plugin {
  return {
    name: "gzip-siblings",
    apply: "build",
    closeBundle() {
      for (const name of readdirSync(STATIC, { recursive: true, encoding: "utf8" })) {
        if (!/\.(js|css|html|svg)$/.test(name)) continue;
        const file = join(STATIC, name);
        const packed = gzipSync(readFileSync(file), { level: 9 });
        if (packed.length < readFileSync(file).length) writeFileSync(`${file}.gz`, packed);
      }
    },
  };
}

/** axe-core for tests/e2e, in a place that neither ships nor needs node_modules at test time. */
function axeForTests(): Plugin {
  return {
    name: "axe-for-tests",
    apply: "build",
    closeBundle() {
      const target = join(HERE, ".cache");
      mkdirSync(target, { recursive: true });
      const source = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
      copyFileSync(source, join(target, "axe.min.js"));
    },
  };
}

export default defineConfig({
  plugins: [react(), gzipSiblings(), axeForTests()],
  build: {
    outDir: STATIC,
    emptyOutDir: true,
    target: "es2022",
    manifest: true,
    license: { fileName: "licenses.md" },
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8080", "/openapi.json": "http://127.0.0.1:8080" } },
});
