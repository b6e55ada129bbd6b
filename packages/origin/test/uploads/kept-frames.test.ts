import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PackFollow } from "../../src/uploads/pack-follow.js";
import { type MadePair, makePair } from "../make-pair.js";
import { temporaryFolder } from "../origin-fixture.js";
import { openBench } from "./upload-fixture.js";

const FRAME = 65_536;
const HEADER = 64;
/** The frames of the second are those of the first, and eight more. */
const V1 = makePair({ name: "win7", version: 1, seed: 5, frames: 40 });
const V2 = makePair({ name: "win7", version: 2, seed: 5, frames: 48 });

/** Where frame `i` of these packs begins. */
function offset(i: number): number {
  return HEADER + i * FRAME;
}

describe("frames of a published version", () => {
  it("are copied, so that only the header and the new ones are sent", async () => {
    const bench = await openBench();
    const [, first] = await bench.sendPair(V1);
    const [, second] = await bench.sendPair(V2);
    expect(first?.sentBytes).toBe(V1.pack.length);
    expect(second?.sentBytes).toBe(HEADER + 8 * FRAME);
    expect(second?.fault).toBeUndefined();
    expect(readFileSync(join(bench.root, V2.packName)).equals(V2.pack)).toBe(true);
    expect(bench.told).toEqual(["win7 1 new by alice", "win7 2 new by alice"]);
  });

  it("need not be sent at all when nothing is new", async () => {
    const bench = await openBench();
    await bench.sendPair(V2);
    const [, pack] = await bench.sendPair(makePair({ name: "win7", version: 3, seed: 5, frames: 48 }));
    expect(pack).toMatchObject({ sentBytes: HEADER, fault: undefined });
    expect(bench.catalogue.newest("win7")?.version).toBe(3);
  });

  it("are sent when what lies in the folder is damaged", async () => {
    const bench = await openBench({ scanMs: 60_000 });
    await bench.sendPair(V1);
    const bad = Buffer.from(V1.pack);
    bad[offset(10) + 5] = (bad[offset(10) + 5] ?? 0) ^ 1;
    writeFileSync(join(bench.root, V1.packName), bad);
    const [, second] = await bench.sendPair(V2);
    expect(second?.fault).toBeUndefined();
    expect(second?.sentBytes).toBe(HEADER + 9 * FRAME);
    expect(readFileSync(join(bench.root, V2.packName)).equals(V2.pack)).toBe(true);
  });

  it("are copied for any client whose fragments end anywhere", async () => {
    const bench = await openBench();
    await bench.sendPair(V1);
    await bench.send(V2.index, "win7.ckm.index");
    // Ends within a frame each time; the header is not sent alone.
    const pack = await bench.send(V2.pack, "win7.ckm", { fragmentBytes: 100_000 });
    expect(pack.fault).toBeUndefined();
    expect(pack.sentBytes).toBeLessThan(9 * FRAME);
    expect(readFileSync(join(bench.root, V2.packName)).equals(V2.pack)).toBe(true);
  });
});

interface Follow {
  readonly follow: PackFollow;
  readonly packPath: string;
}

/** Follows a file that begins with the first `bytes` of a pack, beside a published one. */
async function openFollow(pair: MadePair, bytes: number, published: MadePair): Promise<Follow> {
  const folder = temporaryFolder();
  const path = (name: string, content: Uint8Array): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const packPath = path("new", pair.pack.subarray(0, bytes));
  const follow = await PackFollow.open({
    indexPath: path("new.index", pair.index),
    packPath,
    sources: [{ packPath: path("old", published.pack), indexPath: path("old.index", published.index) }],
  });
  return { follow, packPath };
}

function never(): boolean {
  return false;
}

describe("copying", () => {
  it("goes on in the middle of a frame, and says which bytes are wanted next", async () => {
    const { follow, packPath } = await openFollow(V2, offset(3) + 1000, V1);
    const filled = follow.fill(offset(3) + 1000, V2.pack.length, never);
    follow.close();
    expect(filled).toEqual({ received: offset(40), missing: [offset(40), offset(48) - 1] });
    expect(readFileSync(packPath).equals(V2.pack.subarray(0, offset(40)))).toBe(true);
  });

  it("stops when time is over, and wants a single byte to go on", async () => {
    const { follow } = await openFollow(V2, HEADER, V1);
    let looks = 0;
    const filled = follow.fill(HEADER, V2.pack.length, () => (looks += 1) > 7);
    follow.close();
    expect(filled).toEqual({ received: offset(7), missing: [offset(7), offset(7)] });
  });

  it("does nothing for a file of another length", async () => {
    const { follow } = await openFollow(V2, HEADER, V1);
    const filled = follow.fill(HEADER, V2.pack.length - 1, never);
    follow.close();
    expect(filled).toEqual({ received: HEADER });
  });

  it("proves the copied frames with the others", async () => {
    const { follow, packPath } = await openFollow(V2, HEADER, V1);
    const { received } = follow.fill(HEADER, V2.pack.length, never);
    writeFileSync(packPath, V2.pack.subarray(received), { flag: "a" });
    expect(() => follow.finish(V2.pack.length)).not.toThrow();
    follow.close();
  });

  it("finds a frame that was changed after it was copied half", async () => {
    const { follow, packPath } = await openFollow(V2, offset(0) + 10, V1);
    follow.fill(offset(0) + 10, V2.pack.length, never);
    const bytes = Buffer.from(V2.pack);
    bytes[offset(0) + 3] = (bytes[offset(0) + 3] ?? 0) ^ 1;
    writeFileSync(packPath, bytes, { flag: "r+" });
    expect(() => follow.finish(V2.pack.length)).toThrow(
      expect.objectContaining({ code: "ERR_PACK_INVALID" }),
    );
    follow.close();
  });
});
