import type { Clock } from "./clock.js";
import { AppError } from "./errors.js";

/** Resolves after `ms`. @throws {AppError} ERR_ABORTED */
export async function wait(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      cancel();
      reject(new AppError("ERR_ABORTED", "waiting was stopped"));
    };
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener("abort", stop);
      resolve();
    });
    if (signal?.aborted === true) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}
