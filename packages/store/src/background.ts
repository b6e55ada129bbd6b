import { readdirSync } from "node:fs";
import { getPriority, setPriority } from "node:os";
import type { IoPacer } from "./files/io-pacer.js";
import { fileErrorCode } from "./files/store-error.js";

/** Work beside which people use the machine: its threads have a low priority where threads can. */
export interface Background {
  /** What is read and written for it passes here; absent: as fast as it goes. */
  readonly io?: IoPacer;
}

/** On Linux a thread has a nice value of its own, from which its share of the disk follows too. */
const NICE = 10;
/** Node's code for what the system refuses to functions of `node:os`. */
const SYSTEM_ERROR = "ERR_SYSTEM_ERROR";

/**
 * Gives the thread that calls it a low priority; only where that says nothing of the rest of the process: Linux. A
 * wish: where it is refused the thread keeps the priority that it has.
 */
export function lowerThreadPriority(): void {
  if (process.platform !== "linux") return;
  // Never back up: that is a right of its own.
  wish(() => setPriority(Math.max(NICE, getPriority())));
}

/**
 * Gives this process that priority, also the threads that Node has started already. A wish, as above.
 * @param priority of `os.constants.priority`
 */
export function lowerProcessPriority(priority: number): void {
  wish(() => setPriority(priority));
  if (process.platform !== "linux") return;
  // Linux: that was this thread; Node has threads for compiling and collecting garbage, a quarter of all work.
  for (const id of threads()) lowerThread(id, priority);
}

/** @returns false when it is refused, or there is no such thread any more */
export function lowerThread(id: number, priority: number): boolean {
  return wish(() => setPriority(id, priority));
}

/** Of this process; none where /proc is not to be had. */
function threads(): readonly number[] {
  try {
    return readdirSync("/proc/self/task").map(Number);
  } catch (err) {
    if (fileErrorCode(err) === undefined) throw err;
    return [];
  }
}

/** Containers and filters of system calls refuse priorities (EPERM, EACCES, ENOSYS); a thread may have ended (ESRCH). */
function wish(set: () => void): boolean {
  try {
    set();
    return true;
  } catch (err) {
    if (err instanceof Error && "code" in err && err.code === SYSTEM_ERROR) return false;
    throw err;
  }
}
