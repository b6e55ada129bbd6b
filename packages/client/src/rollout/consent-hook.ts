import { spawn } from "node:child_process";
import { AppError, type Logger } from "@ckmesh/core";

/** Longest a hook may think. */
const HOOK_TIMEOUT_MS = 60_000;

/**
 * Asks the configured program whether a version may become active.
 * @returns true when it exits with 0
 * @throws {AppError} ERR_CONFIG_INVALID when it cannot be started
 */
export async function askConsent(
  hook: string,
  version: { readonly name: string; readonly version: number; readonly pack: string; readonly disk?: string },
  options: { readonly logger: Logger; readonly signal: AbortSignal },
): Promise<boolean> {
  const args = [version.name, String(version.version), version.pack, version.disk ?? ""];
  const code = await new Promise<number | string>((resolve, reject) => {
    const child = spawn(hook, args, {
      stdio: "ignore",
      timeout: HOOK_TIMEOUT_MS,
      signal: options.signal,
      windowsHide: true,
    });
    child.once("error", (cause) => {
      reject(
        options.signal.aborted
          ? new AppError("ERR_ABORTED", "the consent hook was stopped", { cause })
          : new AppError("ERR_CONFIG_INVALID", `consentHook ${hook} cannot be started`, { cause }),
      );
    });
    child.once("exit", (status, signal) => {
      resolve(status ?? signal ?? "unknown");
    });
  });
  options.logger.info({ image: version.name, version: version.version, exit: code }, "consent hook answered");
  return code === 0;
}
