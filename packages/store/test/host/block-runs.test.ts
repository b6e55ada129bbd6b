import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "@ckmesh/core";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { BlockBuffer } from "../../src/host/block-buffer.js";
import { BlockRuns } from "../../src/host/block-runs.js";
import { keyOrder } from "../../src/host/key-order.js";

/** A hash that begins with a number of 48 bits. */
const hashOf = (key: number): Uint8Array => {
  const hash = Buffer.alloc(32);
  hash.writeUIntBE(key, 0, 6);
  return hash;
};
const key = fc.integer({ min: 0, max: 2 ** 48 - 1 });

describe("runs of blocks", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "ckmesh-runs-"));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it("puts any keys in order", () => {
    fc.assert(
      fc.property(fc.array(key), (keys) => {
        const high = Uint32Array.from(keys, (each) => Math.floor(each / 65_536));
        const low = Uint16Array.from(keys, (each) => each % 65_536);
        const sorted = [...keyOrder(high, low, keys.length)].map((i) => keys[i]);
        expect(sorted).toEqual(keys.toSorted((a, b) => a - b));
      }),
      { numRuns: 20 }, // each counts 3 x 65,536 digits
    );
  });

  it("finds each block of live files after merges and a new start, and drops those of others", async () => {
    const random = seededRandom(3);
    const places = new Map<number, string>();
    const runs = BlockRuns.open(folder);
    const buffer = new BlockBuffer(100);
    for (let file = 1; file <= 70; file += 1) {
      for (let block = 0; block < 100; block += 1) {
        const each = Math.floor(random.next() * 2 ** 48);
        buffer.add(hashOf(each), file, block);
        places.set(each, `${file}/${block}`);
      }
      runs.add(buffer.take());
      await runs.compact((number) => number !== 7);
    }
    const again = BlockRuns.open(folder);
    const keys = Float64Array.from([...places.keys()].toSorted((a, b) => a - b));
    const found = new Map<number, string>();
    await again.find(keys, (i, file, block) => found.set(keys[i] ?? -1, `${file}/${block}`));
    const live = [...places].filter(([, place]) => !place.startsWith("7/"));
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(live));
    // One of 64, and the six that came after it.
    expect(await readdir(folder)).toHaveLength(7);
    expect(again.records).toBe(6900);
  });

  it("keeps four places of a block that lies everywhere", async () => {
    const runs = BlockRuns.open(folder);
    const buffer = new BlockBuffer(10);
    for (let file = 1; file <= 8; file += 1) {
      for (let block = 0; block < 10; block += 1) buffer.add(hashOf(5), file, block);
      runs.add(buffer.take());
    }
    await runs.compact(() => true);
    let places = 0;
    await runs.find(Float64Array.of(4, 5, 6), (i) => {
      places += i === 1 ? 1 : 100;
    });
    expect(places).toBe(4);
  });
});
