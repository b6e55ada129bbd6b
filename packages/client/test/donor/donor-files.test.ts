import { writeFile } from "node:fs/promises";
import { isAppError, type Run } from "@ckmesh/core";
import type { VersionFiles } from "@ckmesh/store";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SamplePair } from "../../../store/test/sample-pair.js";
import { DonorFiles } from "../../src/donor/donor-files.js";

/** A version is as good a donor of itself as another one with the same frames. */
describe("DonorFiles", () => {
  let pair: SamplePair;
  let target: VersionFiles;
  let donor: DonorFiles;
  const stored: Run[] = [];
  const lost: Run[] = [];

  beforeEach(async () => {
    pair = await SamplePair.create(1);
    target = await pair.open();
    stored.length = lost.length = 0;
    donor = new DonorFiles(target.signed, target, {
      stored: (runs) => stored.push(...runs),
      lost: (runs) => lost.push(...runs),
    });
    await pair.fill(target, target.table.layout.pieceRows + 2);
    for (const kind of ["hashes", "frames"] as const) {
      const run = donor.table.layout.section(kind) ?? { first: 0, count: 0 };
      await donor.write(run, pair.bytes(target, run), "peers");
    }
  });
  afterEach(async () => {
    await target.close();
    await pair.close();
  });

  /** The row of frame `n`. */
  const frame = (n: number): number => target.table.layout.pieceRows + n;

  it("learns from its two sections, which it keeps in memory, what frames there are", async () => {
    const hashes = donor.table.layout.section("hashes") ?? { first: 0, count: 0 };
    expect(donor.frames?.count).toBe(target.frames?.count);
    expect(Buffer.compare(await donor.read(hashes), pair.bytes(target, hashes))).toBe(0);
  });

  it("wants the common frames and holds those that the target has", async () => {
    const wanted = await donor.match();
    expect(wanted.count).toBe(donor.frames?.count);
    expect([...donor.have.runs(true, frame(0))]).toEqual([{ first: frame(0), count: 2 }]);
    expect([...donor.targetRows(() => true).runs()]).toEqual([
      { first: frame(2), count: (donor.frames?.count ?? 0) - 2 },
    ]);
  });

  it("stores frames in the target, counted as they came, and reads them there", async () => {
    await donor.match();
    const run = { first: frame(2), count: 2 };
    const before = target.bytes.peers;
    await donor.write(run, pair.bytes(target, run), "peers");
    expect(stored).toEqual([run]);
    expect(target.have.hasAll(run.first, run.count)).toBe(true);
    expect(target.bytes.peers - before).toBe(pair.bytes(target, run).byteLength);
    expect(Buffer.compare(await donor.read(run), pair.bytes(target, run))).toBe(0);
  });

  it("reads no frame that the target has dropped, and says what is damaged there", async () => {
    await donor.match();
    await writeFile(target.paths.packPartial, new Uint8Array(pair.pack.byteLength));
    expect(await donor.recheck([{ first: frame(0), count: 1 }])).toEqual([{ first: frame(0), count: 1 }]);
    expect(lost).toEqual([{ first: frame(0), count: 1 }]);
    expect([donor.have.has(frame(0)), target.have.has(frame(0))]).toEqual([false, false]);
    await expect(donor.read({ first: frame(0), count: 1 })).rejects.toSatisfy((err) =>
      isAppError(err, "ERR_STORE_CORRUPT"),
    );
  });

  it("has no section of the index but the two", async () => {
    const map = donor.table.layout.section("map") ?? { first: 0, count: 0 };
    await expect(donor.read({ first: map.first, count: 1 })).rejects.toSatisfy((err) =>
      isAppError(err, "ERR_STORE_CORRUPT"),
    );
  });
});
