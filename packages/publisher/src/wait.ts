import { AppError, type Clock } from "@ckmesh/core";

/** Resolves after `ms`. @throws {AppError} ERR_ABORTED */
export async function wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      cancel();
      reject(new AppError("ERR_ABORTED", "waiting was stopped"));
    };
    const cancel = clock.after(ms, () => {
      signal.removeEventListener("abort", stop);
      resolve();
    });
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
