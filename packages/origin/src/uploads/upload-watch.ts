import { type FileHandle, open } from "node:fs/promises";
import { type Clock, toHex } from "@ckmesh/core";
import { PACK_HEADER_BYTES, packHeaderId } from "@ckmesh/image";
import type { Filled } from "./pack-follow.js";
import type { PackFollower } from "./pack-follower.js";
import type { Upload } from "./upload.js";
import type { UploadWatcher } from "./upload-intake.js";

/** Time that copying known frames may take before a fragment is answered; BITS clients wait 5 minutes. */
const FILL_MS = 30_000;
/** A thread is given back when nothing has come for this long; the next byte starts another one. */
const IDLE_MS = 60_000;

export interface UploadWatchOptions {
  /** Starts a thread that checks the pack as it comes; undefined when its index is not here, or too many run. */
  readonly follow: (versionId: string) => PackFollower | undefined;
  readonly close: (total: number) => Promise<void>;
  readonly discard: () => void;
  readonly clock: Clock;
}

/** Follows one session: the pack whose index is here is checked as its bytes come. */
export class UploadWatch implements UploadWatcher {
  readonly #upload: Upload;
  readonly #options: UploadWatchOptions;
  #header: { readonly versionId: string | undefined } | undefined;
  #cancelIdle: (() => void) | undefined;

  constructor(upload: Upload, options: UploadWatchOptions) {
    this.#upload = upload;
    this.#options = options;
  }

  wrote(bytes: Uint8Array, offset: number): void {
    const upload = this.#upload;
    upload.received = offset + bytes.byteLength;
    upload.follower?.advance(upload.received);
    this.#restartIdle();
  }

  async fill(received: number, total: number): Promise<Filled> {
    const upload = this.#upload;
    upload.received = received;
    upload.total = total;
    await this.#follow();
    if (upload.follower === undefined || received >= total) return { received };
    this.#cancelIdle?.();
    const filled = await upload.follower.fill(received, total, FILL_MS);
    upload.received = filled.received;
    this.#restartIdle();
    return filled;
  }

  async close(total: number): Promise<void> {
    this.#cancelIdle?.();
    await this.#options.close(total);
  }

  discard(): void {
    this.#cancelIdle?.();
    this.#options.discard();
  }

  /** Has a thread check what is there, once it is known that it is a pack whose index is here. */
  async #follow(): Promise<void> {
    const upload = this.#upload;
    if (upload.target.kind !== "pack" || upload.follower !== undefined) return;
    if (upload.received < PACK_HEADER_BYTES) return;
    this.#header ??= { versionId: await readVersionId(upload.path) };
    if (this.#header.versionId === undefined) return;
    upload.follower = this.#options.follow(this.#header.versionId);
  }

  #restartIdle(): void {
    const upload = this.#upload;
    this.#cancelIdle?.();
    if (upload.follower === undefined) return;
    this.#cancelIdle = this.#options.clock.after(IDLE_MS, () => {
      if (upload.state !== "receiving") return;
      upload.follower?.close();
      upload.follower = undefined;
    });
  }
}

/** The version id that a pack names, hexadecimal; undefined for one that is not ours. */
export async function readVersionId(path: string): Promise<string | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const { buffer, bytesRead } = await file.read(Buffer.alloc(PACK_HEADER_BYTES), 0, PACK_HEADER_BYTES, 0);
    const id = packHeaderId(buffer.subarray(0, bytesRead));
    return id === undefined ? undefined : toHex(id);
  } finally {
    await file?.close();
  }
}
