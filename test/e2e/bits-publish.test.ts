import { randomFillSync } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MIB } from "@ckmesh/core";
import { packImage } from "@ckmesh/store";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BitsConnection, basic } from "../testbed/bits-connection.js";
import { curlUpload } from "../testbed/bits-curl.js";
import { imageFiles, stagedData, startBitsOrigin, untilPublished } from "../testbed/bits-origin.js";
import { BitsPython } from "../testbed/bits-python.js";
import { whyNot } from "../testbed/foreign.js";
import { ALICE, CAROL } from "../testbed/local-accounts.js";
import type { OriginUnderTest } from "../testbed/origin-under-test.js";

/* What becomes of a pair that foreign programs upload. */
const reason = whyNot("uploads by Python and curl", ["python", "curl"]);
const START_TIMEOUT_MS = 60_000;
const DISK_BYTES = 3 * MIB;
const FRAGMENT_BYTES = MIB;

let folder: string;
let origin: OriginUnderTest;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ckbits-"));
  origin = await startBitsOrigin({ folder }, AbortSignal.timeout(START_TIMEOUT_MS));
}, START_TIMEOUT_MS);

afterAll(async () => {
  await origin?.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Pair {
  readonly pack: string;
  readonly index: string;
}

let folders = 0;

/** A pair of random content. */
async function makePair(name: string, version = 1): Promise<Pair> {
  folders += 1;
  const outDir = join(folder, `pair-${folders}`);
  mkdirSync(outDir);
  const diskPath = join(outDir, "disk.img");
  writeFileSync(diskPath, randomFillSync(new Uint8Array(DISK_BYTES)));
  await packImage({ diskPath, name, outDir, level: 1, version });
  const pack = join(outDir, `${name}_${version}.ckm`);
  return { pack, index: `${pack}.index` };
}

const urlOf = (fileName: string): string => `${origin.httpUrl}/MEDVImages/${fileName}`;

function python(source: string, fileName: string, user = ALICE): BitsPython {
  return new BitsPython({ url: urlOf(fileName), file: source, user, fragmentBytes: FRAGMENT_BYTES });
}

/** A pair under the name Both, version 1; returns which of its files were taken. */
async function sendBoth(pair: Pair, user: typeof ALICE): Promise<readonly boolean[]> {
  const index = await python(pair.index, "Both_1.ckm.index", user).end();
  const pack = await python(pair.pack, "Both_1.ckm", user).end();
  return [index.done === true, pack.done === true];
}

/** The files in the folder are those of the pair, and readers get them. */
async function expectPublished(
  pair: Pair,
  name: string,
  version: number,
  signal: AbortSignal,
): Promise<void> {
  await untilPublished(origin, name, version, signal);
  const pack = `${name}_${version}.ckm`;
  for (const [source, target] of [
    [pair.pack, pack],
    [pair.index, `${pack}.index`],
  ] as const) {
    expect(readFileSync(join(folder, "images", target)).equals(readFileSync(source))).toBe(true);
    const reader = await BitsConnection.open({ url: origin.httpUrl }, basic(CAROL)); // oxlint-disable-line no-await-in-loop -- one after the other
    const answer = await reader.get(`/MEDVImages/${target}`); // oxlint-disable-line no-await-in-loop -- same
    expect(answer.body.equals(readFileSync(source))).toBe(true);
    reader.close();
  }
}

describe.skipIf(reason !== undefined)("a pair", () => {
  it("is published when Python has sent its index and then its pack", async ({ signal }) => {
    const pair = await makePair("ByPython");
    await python(pair.index, "ByPython_1.ckm.index").done();
    expect(imageFiles(folder).join()).not.toContain("ByPython");
    await python(pair.pack, "ByPython_1.ckm").done();
    await expectPublished(pair, "ByPython", 1, signal);
    const alias = await BitsConnection.open({ url: origin.httpUrl }, basic(CAROL));
    expect((await alias.get("/MEDVImages/ByPython.ckm")).body.equals(readFileSync(pair.pack))).toBe(true);
    alias.close();
    expect(origin.audit()).toMatch(/"upload".*alice|alice.*"upload"/);
  });

  it("is published when curl has sent its pack and then its index, to the alias", async ({ signal }) => {
    const pair = await makePair("ByCurl");
    const logon = ["ntlm", `user = "alice:${ALICE.password}"`];
    for (const [source, name] of [
      [pair.pack, "ByCurl.ckm"],
      [pair.index, "ByCurl.ckm.index"],
    ] as const) {
      const bytes = readFileSync(source);
      const { statuses } = await curlUpload({
        url: urlOf(name),
        bytes,
        fragmentBytes: FRAGMENT_BYTES,
        logon,
      }); // oxlint-disable-line no-await-in-loop -- in this order
      expect(statuses.every((status) => status === 200)).toBe(true);
    }
    await expectPublished(pair, "ByCurl", 1, signal);
  });

  it("leaves nothing in staging when it is published", async ({ signal }) => {
    const pair = await makePair("Clean");
    await python(pair.index, "Clean_1.ckm.index").done();
    await python(pair.pack, "Clean_1.ckm").done();
    await expectPublished(pair, "Clean", 1, signal);
    expect(stagedData(folder)).toEqual([]);
  });

  it("may not be sent again: its version exists", async ({ signal }) => {
    const pair = await makePair("Once");
    await python(pair.index, "Once_1.ckm.index").done();
    await python(pair.pack, "Once_1.ckm").done();
    await expectPublished(pair, "Once", 1, signal);
    const again = await python(pair.pack, "Once_1.ckm").end();
    expect(again).toMatchObject({ refused: "Create-Session", status: 403, hresult: "0x80070005" });
  });

  it("of two admins who send one version at once: one is published whole, the other one is told", async ({
    signal,
  }) => {
    const [hers, his] = await Promise.all([makePair("Both"), makePair("Both")]);
    const outcomes = await Promise.all([sendBoth(hers, ALICE), sendBoth(his, CAROL)]);
    expect(outcomes.some((done) => done.every(Boolean))).toBe(true);
    await untilPublished(origin, "Both", 1, signal);
    const published = readFileSync(join(folder, "images", "Both_1.ckm"));
    const winner = [hers, his].find(({ pack }) => readFileSync(pack).equals(published));
    if (winner === undefined) throw new Error("what is published is neither pack");
    const index = readFileSync(join(folder, "images", "Both_1.ckm.index"));
    expect(index.equals(readFileSync(winner.index))).toBe(true);
  });

  it("whose pack is damaged is not published, and its folder stays as it was", async () => {
    const pair = await makePair("Torn");
    const torn = readFileSync(pair.pack);
    const middle = Math.floor(torn.length / 2);
    torn[middle] = (torn[middle] ?? 0) ^ 1;
    writeFileSync(pair.pack, torn);
    const before = imageFiles(folder);
    await python(pair.index, "Torn_1.ckm.index").done();
    await python(pair.pack, "Torn_1.ckm").end();
    const other = await makePair("AfterTorn");
    await python(other.index, "AfterTorn_1.ckm.index").done();
    await python(other.pack, "AfterTorn_1.ckm").done();
    expect(imageFiles(folder).filter((name) => name.startsWith("Torn"))).toEqual([]);
    expect(imageFiles(folder).length).toBeGreaterThanOrEqual(before.length);
  });

  it("dropped into the folder while its version is being uploaded wins, and the upload is refused", async ({
    signal,
  }) => {
    const [dropped, sent] = [await makePair("Drop"), await makePair("Drop")];
    await python(sent.index, "Drop_1.ckm.index").done();
    for (const source of [dropped.pack, dropped.index])
      copyFileSync(source, join(folder, "images", source.slice(source.lastIndexOf("/") + 1)));
    await untilPublished(origin, "Drop", 1, signal);
    await python(sent.pack, "Drop_1.ckm").end();
    expect(readFileSync(join(folder, "images", "Drop_1.ckm")).equals(readFileSync(dropped.pack))).toBe(true);
    expect(readFileSync(join(folder, "images", "Drop_1.ckm.index")).equals(readFileSync(dropped.index))).toBe(
      true,
    );
  });
});
