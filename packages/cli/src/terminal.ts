/** Where a command writes: results go to `out`, progress and errors to `err`. A test gives its own. */
export interface Terminal {
  readonly isTty: boolean;
  out(text: string): void;
  err(text: string): void;
  /** Monotonic ms. */
  now(): number;
}

/** The terminal of this process. A reader that goes away (`| head`) ends the output, not the work. */
export function processTerminal(): Terminal {
  let isGone = false;
  process.stdout.on("error", () => {
    isGone = true;
  });
  process.stderr.on("error", () => {
    isGone = true;
  });
  return {
    isTty: process.stderr.isTTY,
    out: (text) => void (isGone || process.stdout.write(text)),
    err: (text) => void (isGone || process.stderr.write(text)),
    now: () => performance.now(),
  };
}
