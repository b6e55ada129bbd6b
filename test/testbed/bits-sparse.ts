import { randomFillSync } from "node:crypto";
import { closeSync, mkdirSync, openSync, readSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { GIB, KIB, MIB } from "@ckmesh/core";
import { processUsage } from "../lab/process-usage.js";
import { BitsConnection, basic } from "./bits-connection.js";
import { startBitsOrigin } from "./bits-origin.js";
import { BitsPython } from "./bits-python.js";
import { ALICE } from "./local-accounts.js";

/** What Windows sends at most ([MC-BUP] <10>). */
const FRAGMENT_BYTES = 13 * MIB;
const ISLAND_BYTES = 64 * KIB;
const PATH = "/MEDVImages/Sparse_1.ckm";
/** Where numbers of 32 bits, signed and not, and a double's of 33 end. */
const CORNERS = [0, 2 * GIB - ISLAND_BYTES / 2, 4 * GIB - ISLAND_BYTES / 2, 8 * GIB - ISLAND_BYTES / 2];

interface SparseUpload {
  readonly seconds: number;
  /** From the last acknowledged fragment to the end of Close-Session. */
  readonly closeSeconds: number;
  readonly rssBeforeMib: number;
  /** Of the origin, reading some of the file back included. */
  readonly rssPeakMib: number;
}

/**
 * Uploads a file that is empty but for islands of random bytes, and reads the islands back from the origin. The origin
 * keeps the file as it came: it needs the room.
 * @throws when the file that is served differs
 */
export async function uploadSparse(
  folder: string,
  bytes: number,
  signal: AbortSignal,
): Promise<SparseUpload> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "sparse");
  const islands = [...CORNERS, bytes - ISLAND_BYTES].filter((at) => at >= 0 && at + ISLAND_BYTES <= bytes);
  makeSparse(file, bytes, islands);
  const origin = await startBitsOrigin({ folder }, signal);
  try {
    const rssBeforeMib = processUsage(origin.pid)?.rssPeakMib ?? 0;
    const start = performance.now();
    const upload = new BitsPython({
      url: origin.httpUrl + PATH,
      file,
      user: ALICE,
      fragmentBytes: FRAGMENT_BYTES,
    });
    let lastFragment = start;
    upload.onFact(({ ack }) => {
      if (ack === "fragment") lastFragment = performance.now();
    });
    const onAbort = (): void => upload.kill();
    signal.addEventListener("abort", onAbort);
    await upload.done().finally(() => signal.removeEventListener("abort", onAbort));
    const end = performance.now();
    const client = await BitsConnection.open({ url: origin.httpUrl }, basic(ALICE));
    for (const at of islands) {
      const answer = await client.get(PATH, [`Range: bytes=${at}-${at + ISLAND_BYTES - 1}`]); // oxlint-disable-line no-await-in-loop -- one connection
      if (answer.status !== 206 || !answer.body.equals(readAt(file, at)))
        throw new Error(`other bytes at ${at}: status ${answer.status}`);
    }
    client.close();
    return {
      seconds: (end - start) / 1000,
      closeSeconds: (end - lastFragment) / 1000,
      rssBeforeMib,
      rssPeakMib: processUsage(origin.pid)?.rssPeakMib ?? 0,
    };
  } finally {
    await origin.stop();
  }
}

function makeSparse(path: string, bytes: number, islands: readonly number[]): void {
  writeFileSync(path, "");
  truncateSync(path, bytes);
  const fd = openSync(path, "r+");
  for (const at of islands) writeSync(fd, randomFillSync(new Uint8Array(ISLAND_BYTES)), 0, ISLAND_BYTES, at);
  closeSync(fd);
}

function readAt(path: string, at: number): Buffer {
  const fd = openSync(path, "r");
  const bytes = Buffer.alloc(ISLAND_BYTES);
  readSync(fd, bytes, 0, ISLAND_BYTES, at);
  closeSync(fd);
  return bytes;
}
