#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { CommanderError } from "commander";
import { createProgram } from "./program.js";

// A reader of the help that goes away (`| head`) is no failure.
process.stdout.on("error", () => {});
const program = createProgram(ownVersion());
try {
  await program.parseAsync(process.argv);
} catch (err) {
  if (!(err instanceof CommanderError)) throw err;
  if (err.exitCode !== 0) await reportUsage(err);
}

/** Wrong usage is an error like any other: one line, one hint, a JSON line when asked for. */
async function reportUsage(usage: CommanderError): Promise<void> {
  const { runCommand } = await import("./run-command.js");
  const { AppError } = await import("@ckmesh/core");
  const mode = { json: process.argv.includes("--json"), quiet: process.argv.includes("--quiet") };
  const message =
    usage.code === "commander.help"
      ? "no command given"
      : usage.message.replace(/^error: /, "").replaceAll(/\s*\n\s*/g, " ");
  await runCommand(mode, "work", async () => {
    throw new AppError("ERR_USAGE", message);
  });
}

function ownVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const isManifest = typeof manifest === "object" && manifest !== null && "version" in manifest;
  return isManifest ? String(manifest.version) : "unknown";
}
