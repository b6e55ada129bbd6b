import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { mustRun, runProgram } from "./run-program.js";

/** What docs/iis-migration.md tells admins to install. */
const PACKAGE = "kerberos@7.0.0";
const BUILD_TIMEOUT_MS = 150_000;
const FOLDER = fileURLToPath(new URL("../../node_modules/.cache/kerberos/", import.meta.url));
const MODULES = `${FOLDER}node_modules`;

export type KerberosModule =
  | { readonly type: "there"; readonly env: Readonly<Record<string, string>> }
  | { readonly type: "missing"; readonly reason: string };

/**
 * Builds the optional npm package once for this checkout (10 s) and returns the variables with which our programs
 * find it.
 */
export async function kerberosModule(): Promise<KerberosModule> {
  const env = { NODE_PATH: MODULES };
  if (loads()) return { type: "there", env };
  const headers = await runProgram("sh", ["-c", "command -v krb5-config && command -v c++"]);
  if (headers.exitCode !== 0) return missing("libkrb5-dev or a compiler is missing");
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(`${FOLDER}package.json`, `{"private": true}\n`);
  const flags = ["--no-audit", "--no-fund", "--no-save", "--foreground-scripts", "--prefix", FOLDER];
  // Test files run side by side: one builds it, and the others wait for that.
  const install = [`${FOLDER}lock`, "npm", "install", PACKAGE, ...flags];
  try {
    await mustRun("flock", install, { timeoutMs: BUILD_TIMEOUT_MS });
  } catch (err) {
    return missing(err instanceof Error ? err.message.slice(0, 500) : String(err));
  }
  return loads() ? { type: "there", env } : missing(`${PACKAGE} was installed and cannot be loaded`);
}

function missing(reason: string): KerberosModule {
  process.stderr.write(`tests with the npm package kerberos skipped: ${reason}\n`);
  return { type: "missing", reason };
}

function loads(): boolean {
  if (!existsSync(`${MODULES}/kerberos`)) return false;
  try {
    createRequire(`${FOLDER}index.js`)("kerberos");
    return true;
  } catch {
    return false; // Half installed, or for another Node.
  }
}
