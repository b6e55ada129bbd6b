import { AppError, Bitfield, type Run, silentLogger } from "@ckmesh/core";
import type { ImageRows, VersionFiles } from "@ckmesh/store";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SamplePair } from "../../../store/test/sample-pair.js";
import { EqualFrames } from "../../src/delta/equal-frames.js";

/** A version has all frames in common with itself. */
describe("EqualFrames", () => {
  let pair: SamplePair;
  let from: VersionFiles;
  const faults: string[] = [];
  const written: Run[] = [];

  beforeEach(async () => {
    pair = await SamplePair.create(1);
    from = await pair.open();
    await pair.fill(from);
    faults.length = written.length = 0;
  });
  afterEach(async () => {
    await from.close();
    await pair.close();
  });

  /** Two frames that are no neighbours: two writes. */
  const came = (equal: EqualFrames): void => {
    const { pieceRows } = from.table.layout;
    for (const frame of [0, 2]) equal.came([{ first: pieceRows + frame, count: 1 }]);
  };
  const find = async (write: ImageRows["write"]): Promise<EqualFrames> => {
    const { table, frames } = from;
    return await EqualFrames.find({
      from,
      to: { table, frames, have: new Bitfield(table.layout.rows), write },
      lacks: () => true,
      onStored: (runs) => written.push(...runs),
      onFault: ({ code }) => faults.push(code),
      logger: silentLogger,
    });
  };

  it("tells at once that a write failed, copies no more, and fails whoever waits for the copies", async () => {
    let writes = 0;
    const fault = new AppError("ERR_STORE_FULL", "full");
    const equal = await find(() => {
      writes += 1;
      return Promise.reject(fault);
    });
    came(equal);
    await expect.poll(() => faults).toEqual(["ERR_STORE_FULL"]);
    await expect(equal.copied()).rejects.toBe(fault);
    expect([writes, written]).toEqual([1, []]);
    await equal.close();
  });

  it("ends with the run under way when it is closed, and what fails then is no fault", async () => {
    let writes = 0;
    let closing: Promise<void> | undefined;
    const equal = await find(() => {
      writes += 1;
      closing = equal.close();
      return Promise.reject(new AppError("ERR_ABORTED", "closed"));
    });
    came(equal);
    await equal.copied();
    await closing;
    expect([writes, faults, written]).toEqual([1, [], []]);
  });
});
