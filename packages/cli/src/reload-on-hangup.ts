import { closeSync, openSync } from "node:fs";

/**
 * Runs `reload` at each SIGHUP, one after the other, as servers do. A SIGHUP that says that the terminal is gone
 * in which the program was started ends it, as ever.
 * @returns stops listening
 */
export function reloadOnHangup(reload: () => Promise<void>): () => void {
  const hadTerminal = process.stdin.isTTY;
  let last = Promise.resolve();
  const onHangup = (): void => {
    if (hadTerminal && isTerminalGone()) process.kill(process.pid, "SIGTERM");
    else last = last.then(reload);
  };
  process.on("SIGHUP", onHangup);
  return () => process.off("SIGHUP", onHangup);
}

function isTerminalGone(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r"));
    return false;
  } catch {
    return true;
  }
}
