import { execFileSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { closeSync, openSync, rmSync, statfsSync, writeSync } from "node:fs";
import { join } from "node:path";
import { KIB, MIB } from "@ckmesh/core";
import { afterEach, describe, expect, it } from "vitest";
import { BitsConnection, basic, CODE } from "../testbed/bits-connection.js";
import { imageFiles, startBitsOrigin } from "../testbed/bits-origin.js";
import { soakUploads } from "../testbed/bits-soak.js";
import { uploadSparse } from "../testbed/bits-sparse.js";
import { whyNot } from "../testbed/foreign.js";
import { ALICE } from "../testbed/local-accounts.js";
import type { OriginUnderTest } from "../testbed/origin-under-test.js";
import { useTempFolder } from "./temp-folder.js";

const noPython = whyNot("uploads by Python", ["python"]);
const tempFolder = useTempFolder();
/** Five of the fifty that scripts/bits-soak.ts does. */
const ROUNDS = 5;
const SEED = 5;
/** A small part of what scripts/bits-sparse.ts uploads, and many times what the origin may take for it. */
const SPARSE_BYTES = 512 * MIB;
/** Buffers of one fragment on its way, and what a heap moves by itself. */
const MAX_GROWTH_MIB = 64;

describe.skipIf(noPython !== undefined)("uploads", () => {
  it("are published byte for byte after their program or the origin was killed at random points", async ({
    signal,
  }) => {
    const rounds = await soakUploads({ folder: tempFolder(), rounds: ROUNDS, seed: SEED, signal });
    expect(new Set(rounds.map(({ victim }) => victim))).toEqual(new Set(["client", "origin"]));
  });

  it("of a file much larger than its memory leave the origin small", async ({ signal }) => {
    const { rssBeforeMib, rssPeakMib } = await uploadSparse(tempFolder(), SPARSE_BYTES, signal);
    expect(rssPeakMib - rssBeforeMib).toBeLessThan(MAX_GROWTH_MIB);
  });
});

const noMount = whyNotMount();
const DISK_MIB = 96;
/** So much room that an upload begins, and not for all of it. */
const ROOM_BYTES = 6 * MIB;
const UPLOAD_BYTES = 12 * MIB;
const FRAGMENT_BYTES = MIB;

describe.skipIf(noMount !== undefined)("a disk that fills up", () => {
  let mounted: string | undefined;
  let origin: OriginUnderTest | undefined;

  afterEach(async () => {
    await origin?.stop();
    origin = undefined;
    if (mounted !== undefined) execFileSync("umount", ["--lazy", mounted]);
    mounted = undefined;
  });

  it("during an upload is answered with 0x80070070, shows nothing, and the upload goes on when there is room", async ({
    signal,
  }) => {
    const folder = tempFolder();
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MIB}m`, "tmpfs", folder]);
    mounted = folder;
    origin = await startBitsOrigin({ folder, bits: { freeSpaceReserve: "" } }, signal);
    const ballast = join(folder, "ballast");
    fillUpTo(ballast, folder, ROOM_BYTES);
    const path = "/MEDVImages/Full_1.ckm";
    const file = randomFillSync(new Uint8Array(UPLOAD_BYTES));
    const piece = (first: number) => ({
      first,
      total: file.length,
      bytes: file.subarray(first, first + FRAGMENT_BYTES),
    });

    let client = await BitsConnection.open({ url: origin.httpUrl }, basic(ALICE));
    const id = await client.create(path);
    let received = 0;
    let reply = await client.fragment(path, id, piece(0));
    while (reply.status === 200 && received < file.length) {
      received = reply.received ?? 0;
      reply = await client.fragment(path, id, piece(received)); // oxlint-disable-line no-await-in-loop -- in order
    }
    expect([reply.status, reply.code]).toEqual([500, CODE.diskFull]);
    expect(received).toBeGreaterThan(0);
    client.close();

    client = await BitsConnection.open({ url: origin.httpUrl }, basic(ALICE));
    expect((await client.get(path)).status).toBe(404);
    expect(imageFiles(folder).join()).not.toContain("Full");
    expect((await client.get(origin.packPath, ["Range: bytes=0-9"])).status).toBe(206);

    rmSync(ballast);
    while (received < file.length) {
      reply = await client.fragment(path, id, piece(received)); // oxlint-disable-line no-await-in-loop -- in order
      expect(reply.status).toBe(200);
      received = reply.received ?? 0;
    }
    expect((await client.closeSession(path, id)).status).toBe(200);
    for (let at = 0; at < file.length; at += FRAGMENT_BYTES) {
      const answer = await client.get(path, [`Range: bytes=${at}-${at + FRAGMENT_BYTES - 1}`]); // oxlint-disable-line no-await-in-loop -- one connection
      expect(answer.body.equals(file.subarray(at, at + FRAGMENT_BYTES))).toBe(true);
    }
    client.close();
  });

  it("before an upload begins keeps it from beginning where the reserve is touched", async ({ signal }) => {
    const folder = tempFolder();
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MIB}m`, "tmpfs", folder]);
    mounted = folder;
    origin = await startBitsOrigin({ folder, bits: { freeSpaceReserve: "32MB" } }, signal);
    const client = await BitsConnection.open({ url: origin.httpUrl }, basic(ALICE));
    fillUpTo(join(folder, "ballast"), folder, ROOM_BYTES);
    const { status, code } = await client.tryCreate("/MEDVImages/Full_1.ckm");
    expect([status, code]).toEqual([500, CODE.diskFull]);
    client.close();
  });
});

function whyNotMount(): string | undefined {
  if (process.platform !== "linux") return "a small disk is mounted on Linux only";
  const reason = process.getuid?.() === 0 ? undefined : "mounting a small disk needs root";
  if (reason !== undefined) process.stderr.write(`tests of a full disk skipped: ${reason}\n`);
  return reason;
}

/** Takes space until about `leave` bytes are free. */
function fillUpTo(path: string, folder: string, leave: number): void {
  const fd = openSync(path, "w");
  const block = new Uint8Array(64 * KIB);
  for (;;) {
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize <= leave) break;
    writeSync(fd, block);
  }
  closeSync(fd);
}
