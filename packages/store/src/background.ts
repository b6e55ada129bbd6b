import { getPriority, setPriority } from "node:os";
import type { IoPacer } from "./files/io-pacer.js";

/** Work beside which people use the machine: its threads have a low priority where threads can. */
export interface Background {
  /** What is read and written for it passes here; absent: as fast as it goes. */
  readonly io?: IoPacer;
}

/** On Linux a thread has a nice value of its own, from which its share of the disk follows too. */
const NICE = 10;

/** Gives the thread that calls it a low priority; only where that says nothing of the rest of the process: Linux. */
export function lowerThreadPriority(): void {
  // Never back up: that is a right of its own.
  if (process.platform === "linux") setPriority(Math.max(NICE, getPriority()));
}
