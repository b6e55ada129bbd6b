import { describeError, type Logger } from "@ckmesh/core";

/** A clean stop that takes longer is cut. */
const DEFAULT_GRACE_MS = 30_000;

export interface ShutdownOptions {
  readonly logger: Logger;
  /** Ends the process with code 1 when `close` takes longer; default 30,000 ms. */
  readonly graceMs?: number;
}

/**
 * Runs `close` once on the first SIGINT or SIGTERM (on Windows also SIGBREAK); a second signal, or the end
 * of the grace period, ends the process at once.
 * @returns a function that takes the handlers away
 */
export function onShutdown(
  close: (signal: NodeJS.Signals) => Promise<void>,
  options: ShutdownOptions,
): () => void {
  const signals: readonly NodeJS.Signals[] =
    process.platform === "win32" ? ["SIGINT", "SIGTERM", "SIGBREAK"] : ["SIGINT", "SIGTERM"];
  const { logger, graceMs = DEFAULT_GRACE_MS } = options;
  let isClosing = false;
  const remove = (): void => {
    for (const signal of signals) process.off(signal, handle);
  };
  function handle(signal: NodeJS.Signals): void {
    if (isClosing) {
      logger.warn({ signal }, "second signal, ending at once");
      process.exit(1);
    }
    isClosing = true;
    logger.info({ signal }, "shutting down");
    const timer = setTimeout(() => {
      logger.error({ graceMs }, "shutdown took too long, ending");
      process.exit(1);
    }, graceMs);
    timer.unref();
    close(signal)
      .catch((err: unknown) => {
        logger.error({ err, reason: describeError(err) }, "shutdown failed");
        process.exitCode = 1;
      })
      .finally(() => {
        clearTimeout(timer);
        remove();
      });
  }
  for (const signal of signals) process.on(signal, handle);
  return remove;
}
