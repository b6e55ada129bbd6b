import type { Clock } from "@ckmesh/core";

/**
 * Work on a folder that may be a share, whose server may not answer for minutes.
 * @returns undefined when it takes longer than `ms`; what was begun ends whenever it does, and nobody hears of it
 */
export async function within<T>(clock: Clock, ms: number, work: Promise<T>): Promise<T | undefined> {
  let cancel: (() => void) | undefined;
  const limit = new Promise<undefined>((resolve) => {
    cancel = clock.after(ms, () => {
      resolve(undefined);
    });
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    cancel?.();
  }
}
