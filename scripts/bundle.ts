/**
 * Builds the command as it is run: few files in place of some 450 modules, which halves the time and the CPU
 * of a start (docs/design/0003). Part of `pnpm run build`; from the sources, so that nothing stale gets in.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";

const OUT = "packages/cli/bundle";
/** They bring native code or WebAssembly, which they find beside themselves. */
const EXTERNAL = ["@bokuweb/zstd-wasm", "@toondepauw/node-zstd", "level"];

/** What undici's own index does for its client, and nothing else: `fetch` and its kin take a tenth of a client's start. */
const undiciClient: Plugin = {
  name: "undici-client",
  setup(builder) {
    builder.onResolve({ filter: /^undici$/ }, () => ({ path: "undici", namespace: "client" }));
    builder.onLoad({ filter: /^undici$/, namespace: "client" }, () => ({
      contents: `
        const Dispatcher = require("undici/lib/dispatcher/dispatcher.js");
        Object.assign(Dispatcher.prototype, require("undici/lib/api/index.js"));
        exports.Client = require("undici/lib/dispatcher/client.js");`,
      resolveDir: resolve("packages/net"),
    }));
  },
};

const OPTIONS: BuildOptions = {
  outdir: OUT,
  bundle: true,
  platform: "node",
  target: "node20.19",
  format: "esm",
  conditions: ["ckmesh-src"],
  external: EXTERNAL,
  plugins: [undiciClient],
  // Names in stack traces stay as they are.
  minifyWhitespace: true,
  // CommonJS packages call `require` for Node's own modules.
  banner: {
    js: 'import{createRequire as $require}from"node:module";const require=$require(import.meta.url);',
  },
  legalComments: "external",
  logLevel: "warning",
};

rmSync(OUT, { recursive: true, force: true });
await build({
  ...OPTIONS,
  splitting: true,
  chunkNames: "bin/[name]-[hash]",
  entryPoints: {
    "bin/ckmesh": "packages/cli/src/main.ts",
    // Threads load them from ../dist, seen from the code that starts them: as in the packages.
    "dist/publish/verify-worker": "packages/origin/src/publish/verify-worker.ts",
    "dist/uploads/upload-worker": "packages/origin/src/uploads/upload-worker.ts",
    "dist/deltas/delta-worker": "packages/origin/src/deltas/delta-worker.ts",
  },
});
// Without the chunks, in which is what others need too: half the time that such a thread takes to start.
await build({
  ...OPTIONS,
  entryPoints: {
    "dist/image-worker": "packages/store/src/image-worker.ts",
    "dist/host-worker": "packages/store/src/host-worker.ts",
  },
});
mkdirSync(OUT, { recursive: true });
const { name, version } = JSON.parse(readFileSync("packages/cli/package.json", "utf8")) as Record<
  string,
  string
>;
writeFileSync(`${OUT}/package.json`, `${JSON.stringify({ name, version, private: true, type: "module" })}\n`);
