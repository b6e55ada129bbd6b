/** Assembles the WebAssembly that is written by hand, after a change of its `.wat`; the outcome is committed. */
import { readFileSync, writeFileSync } from "node:fs";
import openWabt from "wabt";

const FOLDER = "packages/image/src/delta";

const wabt = await openWabt();
const source = `${FOLDER}/fingerprint-scan.wat`;
const module = wabt.parseWat(source, readFileSync(source, "utf8"), { simd: true });
const code = Buffer.from(module.toBinary({}).buffer).toString("base64");
writeFileSync(
  `${FOLDER}/fingerprint-scan-wasm.ts`,
  `/** fingerprint-scan.wat, assembled by scripts/assemble-wasm.ts; base64. */\nexport const FINGERPRINT_SCAN_WASM =\n  "${code}";\n`,
);
