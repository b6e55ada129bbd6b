import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError, MIB, sha256 } from "@ckmesh/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RandomAccessFile } from "../../src/files/random-access-file.js";
import { PackHash } from "../../src/pack/pack-hash.js";

const START = 512;
/** Three whole steps and a bit. */
const LENGTH = START + 3 * MIB + 77;
const goOn = (): undefined => undefined;

class Gate {
  open: () => void = () => {};
  readonly opened = new Promise<void>((resolve) => {
    this.open = resolve;
  });
}

let folder: string;
let bytes: Uint8Array;
let file: RandomAccessFile;
let pack: { length: number; sha256: Uint8Array };
let hash: PackHash;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ckmesh-pack-hash-"));
  bytes = Uint8Array.from({ length: LENGTH }, (_, i) => (i * 31 + (i >> 12)) & 255);
  await writeFile(join(folder, "pack"), bytes);
  file = await RandomAccessFile.open(join(folder, "pack"), "write");
  pack = { length: LENGTH, sha256: sha256(bytes.subarray(START)) };
  hash = new PackHash(() => file, START);
});

afterEach(async () => {
  await file.close();
  await rm(folder, { recursive: true });
});

describe("PackHash", () => {
  it("is right about what lies after the header, and says how far it is", async () => {
    const done: number[] = [];
    expect(await hash.isRight(pack, goOn, (at) => done.push(at))).toBe(true);
    expect(done).toEqual([START + MIB, START + 2 * MIB, START + 3 * MIB, LENGTH]);
  });

  it("is wrong when one byte is another", async () => {
    await file.write(LENGTH - 1, Uint8Array.of((bytes.at(-1) ?? 0) ^ 1));
    expect(await hash.isRight(pack, goOn)).toBe(false);
  });

  it("hashes whole steps while the pack fills, each when it is admitted, and the rest at the end", async () => {
    const first = bytes.subarray(START, START + 1);
    await file.write(START, Uint8Array.of((first[0] ?? 0) ^ 1));
    const gates = [new Gate(), new Gate()];
    const asked = [new Gate(), new Gate()];
    let steps = 0;
    hash = new PackHash(
      () => file,
      START,
      async (count, signal) => {
        expect(count).toBe(MIB);
        signal.addEventListener("abort", () => gates[1]?.open());
        asked[steps]?.open();
        await gates[steps++]?.opened;
      },
    );
    hash.advance(START + 3 * MIB + 5);
    await asked[0]?.opened;
    await file.write(START, first);
    gates[0]?.open();
    await asked[1]?.opened;
    const done: number[] = [];
    expect(await hash.isRight(pack, goOn, (at) => done.push(at))).toBe(true);
    expect(done, "what follows does not wait to be admitted").toEqual([
      START + 2 * MIB,
      START + 3 * MIB,
      LENGTH,
    ]);
  });

  it("answers again without reading", async () => {
    await hash.isRight(pack, goOn);
    await file.write(START, Uint8Array.of((bytes[START] ?? 0) ^ 1));
    expect(await hash.isRight(pack, goOn)).toBe(true);
  });

  it("begins anew after a reset", async () => {
    hash.advance(START + 2 * MIB);
    await hash.reset();
    await file.write(START, Uint8Array.of((bytes[START] ?? 0) ^ 1));
    expect(await hash.isRight(pack, goOn)).toBe(false);
  });

  it("stops between steps for the reason that it is given, and goes on where it was", async () => {
    const reason = new AppError("ERR_ABORTED", "stopped");
    const done: number[] = [];
    const twice = (): AppError | undefined => (done.length === 2 ? reason : undefined);
    await expect(hash.isRight(pack, twice, (at) => done.push(at))).rejects.toBe(reason);
    expect(await hash.isRight(pack, goOn, (at) => done.push(at))).toBe(true);
    expect(done).toEqual([START + MIB, START + 2 * MIB, START + 3 * MIB, LENGTH]);
  });

  it("throws ERR_STORE_CORRUPT when the file ends too soon", async () => {
    await expect(hash.isRight({ ...pack, length: LENGTH + 1 }, goOn)).rejects.toMatchObject({
      code: "ERR_STORE_CORRUPT",
    });
  });
});
