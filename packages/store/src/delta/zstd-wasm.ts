import { init } from "@bokuweb/zstd-wasm";

let ready: Promise<void> | undefined;

/** Loads zstd once for this thread: a second `init` would take the memory away from contexts that were made before. */
export async function loadZstd(): Promise<void> {
  ready ??= init();
  await ready;
}
