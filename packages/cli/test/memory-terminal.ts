import type { Terminal } from "../src/terminal.js";

/** A terminal that remembers what was written, with a clock that moves when told. */
export interface MemoryTerminal extends Terminal {
  readonly stdout: string;
  readonly stderr: string;
  advance(ms: number): void;
}

export function memoryTerminal(): MemoryTerminal {
  let [stdout, stderr, now] = ["", "", 0];
  return {
    isTty: false,
    out: (text) => {
      stdout += text;
    },
    err: (text) => {
      stderr += text;
    },
    now: () => now,
    get stdout() {
      return stdout;
    },
    get stderr() {
      return stderr;
    },
    advance: (ms) => {
      now += ms;
    },
  };
}
