import { spawn } from "node:child_process";
import { KIB, MIB } from "@ckmesh/core";

/** Most of a tool's output that is kept, characters. */
const MAX_OUTPUT_CHARS = 4 * MIB;
const MAX_ERROR_CHARS = 4 * KIB;

/** Runs a tool of e2fsprogs, which may lie in sbin outside the PATH of a plain account. */
export async function runTool(name: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
    const child = spawn(name, args, { env, signal, stdio: ["ignore", "pipe", "pipe"] });
    let [out, err] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out = (out + text).slice(-MAX_OUTPUT_CHARS);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err = (err + text).slice(-MAX_ERROR_CHARS);
    });
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(out);
      else reject(new Error(`${name} ended with ${code}: ${err.trim()}`));
    });
  });
}
