import { execFileSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { closeSync, openSync, rmSync, statfsSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { KIB, MIB } from "@ckmesh/core";
import { afterEach, describe, expect, it } from "vitest";
import { BitsConnection, basic, CODE, fragmentPacket, packetBytes } from "../testbed/bits-connection.js";
import { imageFiles, stagedFiles, startBitsOrigin } from "../testbed/bits-origin.js";
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
/** The same whether 512 MiB come or 20 GiB: buffers of a fragment, the thread that hashes, what a heap moves. */
const MAX_GROWTH_MIB = 192;

describe.skipIf(noPython !== undefined)("uploads", () => {
  it.for(["python", "ckmesh"] as const)(
    "are published byte for byte after their program or the origin was killed at random points: %s",
    async (client, { signal }) => {
      const rounds = await soakUploads({ folder: tempFolder(), client, rounds: ROUNDS, seed: SEED, signal });
      expect(new Set(rounds.map(({ victim }) => victim))).toEqual(new Set(["client", "origin"]));
    },
  );

  it("of a file much larger than its memory leave the origin small", async ({ signal }) => {
    const { rssBeforeMib, rssPeakMib } = await uploadSparse(tempFolder(), SPARSE_BYTES, signal);
    expect(rssPeakMib - rssBeforeMib).toBeLessThan(MAX_GROWTH_MIB);
  });
});

const noMount = whyNotMount();
const DISK_MIB = 96;
/** Less than the reserve. */
const ROOM_BYTES = 6 * MIB;
const FRAGMENT_BYTES = 3 * MIB;
const PATH = "/MEDVImages/Full_1.ckm.index";
const file = randomFillSync(new Uint8Array(4 * FRAGMENT_BYTES));
const piece = (first: number) => ({
  first,
  total: file.length,
  bytes: file.subarray(first, first + FRAGMENT_BYTES),
});

/** Sends the rest, from where the origin says that it stands, and reads the file back. */
async function finish(client: BitsConnection, id: string): Promise<void> {
  const end = { first: file.length - 1, total: file.length, bytes: file.subarray(-1) };
  const { status, received = 0 } = await client.fragment(PATH, id, end);
  expect(status).toBe(416);
  expect(received).toBeGreaterThanOrEqual(FRAGMENT_BYTES);
  for (let at = received; at < file.length; )
    at = (await client.fragment(PATH, id, piece(at))).received ?? file.length; // oxlint-disable-line no-await-in-loop -- in order
  expect((await client.closeSession(PATH, id)).status).toBe(200);
  for (let at = 0; at < file.length; at += FRAGMENT_BYTES) {
    const answer = await client.get(PATH, [`Range: bytes=${at}-${at + FRAGMENT_BYTES - 1}`]); // oxlint-disable-line no-await-in-loop -- one connection
    expect(answer.body.equals(file.subarray(at, at + FRAGMENT_BYTES))).toBe(true);
  }
}

/** Waits until a session's data file is so long. */
async function untilStaged(folder: string, bytes: number, signal: AbortSignal): Promise<void> {
  const staging = join(folder, "state", "uploads");
  while (!stagedFiles(folder).some((name) => statSync(join(staging, name)).size >= bytes))
    await delay(10, undefined, { signal }); // oxlint-disable-line no-await-in-loop -- nothing tells of it
}

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
    const folder = await startOnSmallDisk("", signal);
    let client = await open();
    const id = await client.create(PATH);
    expect((await client.fragment(PATH, id, piece(0))).received).toBe(FRAGMENT_BYTES);
    const ballast = join(folder, "ballast");
    fillUpTo(ballast, folder, FRAGMENT_BYTES / 2);
    for (const first of [FRAGMENT_BYTES, FRAGMENT_BYTES]) {
      const { status, code } = await client.fragment(PATH, id, piece(first)); // oxlint-disable-line no-await-in-loop -- in order
      expect([status, code]).toEqual([500, CODE.diskFull]);
      if (!client.raw.isOpen) client = await open(); // oxlint-disable-line no-await-in-loop -- same
    }
    await expectInvisible(client, folder);
    rmSync(ballast);
    await finish(client, id);
    client.close();
  });

  it("in the middle of a fragment is answered with 0x80070070, and what was acknowledged is kept", async ({
    signal,
  }) => {
    const folder = await startOnSmallDisk("", signal);
    let client = await open();
    const id = await client.create(PATH);
    expect((await client.fragment(PATH, id, piece(0))).received).toBe(FRAGMENT_BYTES);
    const request = packetBytes(fragmentPacket(PATH, id, piece(FRAGMENT_BYTES)), basic(ALICE));
    const half = request.length - FRAGMENT_BYTES / 2;
    const answer = client.raw.send(request.subarray(0, half));
    await untilStaged(folder, FRAGMENT_BYTES + 1, signal);
    const ballast = join(folder, "ballast");
    fillUpTo(ballast, folder, 0);
    client.raw.write(request.subarray(half));
    const { status, headers } = await answer;
    expect([status, Number(headers.get("bits-error-code")?.join())]).toEqual([500, CODE.diskFull]);
    client.close();

    client = await open();
    await expectInvisible(client, folder);
    rmSync(ballast);
    await finish(client, id);
    client.close();
  });

  it("before an upload begins keeps it from beginning where the reserve is touched", async ({ signal }) => {
    const folder = await startOnSmallDisk("32MB", signal);
    fillUpTo(join(folder, "ballast"), folder, ROOM_BYTES);
    const client = await open();
    const { status, code } = await client.tryCreate(PATH);
    expect([status, code]).toEqual([500, CODE.diskFull]);
    client.close();
  });

  /** @returns the folder, a file system of its own */
  async function startOnSmallDisk(freeSpaceReserve: string, signal: AbortSignal): Promise<string> {
    const folder = tempFolder();
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_MIB}m`, "tmpfs", folder]);
    mounted = folder;
    origin = await startBitsOrigin({ folder, bits: { freeSpaceReserve } }, signal);
    return folder;
  }

  const open = (): Promise<BitsConnection> =>
    BitsConnection.open({ url: origin?.httpUrl ?? "" }, basic(ALICE));

  /** Nobody sees anything of the upload; what was published before is served. */
  async function expectInvisible(client: BitsConnection, folder: string): Promise<void> {
    expect((await client.get(PATH)).status).toBe(404);
    expect(imageFiles(folder).join()).not.toContain("Full");
    expect((await client.get(origin?.packPath ?? "", ["Range: bytes=0-9"])).status).toBe(206);
  }
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
  const block = new Uint8Array(4 * KIB);
  for (;;) {
    const { bavail, bsize } = statfsSync(folder);
    if (bavail * bsize <= leave) break;
    writeSync(fd, block);
  }
  closeSync(fd);
}
