import { randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { KIB } from "@ckmesh/core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BitsConnection, basic, CODE } from "../testbed/bits-connection.js";
import { imageFiles, READER, stagedData, stagedFiles, startBitsOrigin } from "../testbed/bits-origin.js";
import { ALICE, CAROL } from "../testbed/local-accounts.js";
import type { OriginUnderTest } from "../testbed/origin-under-test.js";
import { useTempFolder } from "./temp-folder.js";

/* [MC-BUP] 3.2.5.2: how sessions end, whose they are, and that they outlive the server's process. */
const START_TIMEOUT_MS = 60_000;
const POLL_MS = 20;
const TOTAL = 64 * KIB;
const HALF = TOTAL / 2;
const file = randomFillSync(new Uint8Array(TOTAL));
const whole = { first: 0, total: TOTAL, bytes: file };
const firstHalf = { first: 0, total: TOTAL, bytes: file.subarray(0, HALF) };
const secondHalf = { first: HALF, total: TOTAL, bytes: file.subarray(HALF) };

const openAs = (origin: OriginUnderTest, user = ALICE): Promise<BitsConnection> =>
  BitsConnection.open({ url: origin.httpUrl }, basic(user));

describe("a session", () => {
  let folder: string;
  let origin: OriginUnderTest;
  let client: BitsConnection;
  let n = 0;
  let path: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ckbits-"));
    origin = await startBitsOrigin({ folder }, AbortSignal.timeout(START_TIMEOUT_MS));
  }, START_TIMEOUT_MS);

  afterAll(async () => {
    await origin?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  beforeEach(async () => {
    n += 1;
    path = `/MEDVImages/Session${n}_1.ckm`;
    client = await openAs(origin);
  });

  afterEach(() => client.close());

  /** Every packet of it is answered as for one that never was. */
  async function expectUnknown(id: string, target = path, as = client): Promise<void> {
    const replies = [
      await as.fragment(target, id, firstHalf),
      await as.closeSession(target, id),
      await as.cancel(target, id),
    ];
    for (const { status, code } of replies) expect([status, code]).toEqual([500, CODE.sessionNotFound]);
  }

  it("makes its file readable to its uploader before Close-Session is acknowledged", async () => {
    const id = await client.create(path);
    await client.fragment(path, id, whole);
    const { status, sessionId } = await client.closeSession(path, id);
    expect([status, sessionId]).toEqual([200, id]);
    const answer = await client.get(path);
    expect(answer.status).toBe(200);
    expect(answer.body.equals(file)).toBe(true);
  });

  it("shows a file that is not published to nobody else", async () => {
    // An index alone waits for its pack.
    const target = `${path}.index`;
    await client.upload(target, file);
    expect((await client.get(target)).body.equals(file)).toBe(true);
    for (const user of [CAROL, READER]) {
      const other = await openAs(origin, user); // oxlint-disable-line no-await-in-loop -- one after the other
      expect((await other.get(target)).status).toBe(404); // oxlint-disable-line no-await-in-loop -- same
      other.close();
    }
    expect((await client.get("/ckmesh/catalogue")).body.toString()).not.toContain(`Session${n}`);
    expect(imageFiles(folder).filter((name) => name.includes(`Session${n}`))).toEqual([]);
  });

  it("that is closed again is acknowledged again or is not known", async () => {
    const id = await client.create(path);
    await client.fragment(path, id, whole);
    await client.closeSession(path, id);
    const { status, code } = await client.closeSession(path, id);
    expect([
      [200, undefined],
      [500, CODE.sessionNotFound],
    ]).toContainEqual([status, code]);
    expect((await client.fragment(path, id, whole)).code).toBe(CODE.sessionNotFound);
  });

  it("that is closed before its end is refused, publishes nothing and is gone", async () => {
    const before = stagedFiles(folder);
    const id = await client.create(path);
    await client.fragment(path, id, firstHalf);
    const { status, code } = await client.closeSession(path, id);
    expect([status, code]).toEqual([400, CODE.invalidArgument]);
    expect((await client.get(path)).status).toBe(404);
    expect(stagedFiles(folder)).toEqual(before);
    expect((await client.fragment(path, id, secondHalf)).code).toBe(CODE.sessionNotFound);
    expect((await client.cancel(path, id)).code).toBe(CODE.sessionNotFound);
    // Answered as before, or not known.
    expect([400, 500]).toContain((await client.closeSession(path, id)).status);
  });

  it("that is cancelled is gone with its data", async () => {
    const before = stagedFiles(folder);
    const id = await client.create(path);
    await client.fragment(path, id, firstHalf);
    const { status, sessionId } = await client.cancel(path, id);
    expect([status, sessionId]).toEqual([200, id]);
    expect(stagedFiles(folder)).toEqual(before);
    await expectUnknown(id);
    expect((await client.get(path)).status).toBe(404);
  });

  it("that is cancelled after its last byte publishes nothing", async () => {
    const id = await client.create(path);
    await client.fragment(path, id, whole);
    expect((await client.cancel(path, id)).status).toBe(200);
    expect((await client.get(path)).status).toBe(404);
  });

  it("without a fragment closes as an empty file or is refused, and never breaks the server", async () => {
    const id = await client.create(path);
    const { status } = await client.closeSession(path, id);
    expect([200, 400]).toContain(status);
    expect((await client.ping(path)).status).toBe(200);
  });

  it("belongs to its user: for anybody else it is not there", async () => {
    const id = await client.create(path);
    await client.fragment(path, id, firstHalf);
    const carol = await openAs(origin, CAROL);
    await expectUnknown(id, path, carol);
    carol.close();
    expect((await client.fragment(path, id, secondHalf)).received).toBe(TOTAL);
  });

  it("belongs to its URL: at another one it is not there", async () => {
    const id = await client.create(path);
    await client.fragment(path, id, firstHalf);
    await expectUnknown(id, path.replace("_1.ckm", "_2.ckm"));
    expect((await client.fragment(path, id, secondHalf)).received).toBe(TOTAL);
  });

  it("is refused with 403 when its user's credentials are those of somebody who may not upload", async () => {
    const id = await client.create(path);
    const reader = await openAs(origin, READER);
    for (const reply of [
      await reader.fragment(path, id, firstHalf),
      await reader.closeSession(path, id),
      await reader.cancel(path, id),
      await reader.ping(path),
    ])
      expect([reply.status, reply.code]).toEqual([403, CODE.accessDenied]);
    reader.close();
  });

  it("of the same name keeps its own bytes", async () => {
    const carol = await openAs(origin, CAROL);
    const other = randomFillSync(new Uint8Array(TOTAL));
    const [mine, hers] = [await client.create(path), await carol.create(path)];
    expect(mine).not.toBe(hers);
    await client.fragment(path, mine, firstHalf);
    await carol.fragment(path, hers, { first: 0, total: TOTAL, bytes: other.subarray(0, HALF) });
    await client.fragment(path, mine, secondHalf);
    await carol.fragment(path, hers, { first: HALF, total: TOTAL, bytes: other.subarray(HALF) });
    expect((await client.closeSession(path, mine)).status).toBe(200);
    const closed = await carol.closeSession(path, hers);
    expect([200, 403, 409]).toContain(closed.status);
    expect((await client.get(path)).body.equals(file)).toBe(true);
    const { status, body } = await carol.get(path);
    expect(status === 200 && body.equals(other)).toBe(closed.status === 200);
    carol.close();
  });
});

describe("a session of an origin with settings of its own", () => {
  const tempFolder = useTempFolder();
  let origin: OriginUnderTest | undefined;
  const path = "/MEDVImages/Set_1.ckm";

  afterEach(async () => {
    await origin?.stop();
    origin = undefined;
  });

  it("outlives the server's process with every byte that was acknowledged", async ({ signal }) => {
    const folder = tempFolder();
    origin = await startBitsOrigin({ folder }, signal);
    const first = await openAs(origin);
    const id = await first.create(path);
    await first.fragment(path, id, firstHalf);
    const untouched = await first.create("/MEDVImages/Set_2.ckm");
    await origin.kill();
    first.close();

    origin = await startBitsOrigin({ folder }, signal);
    const second = await openAs(origin);
    const gap = { first: TOTAL - 1, total: TOTAL, bytes: file.subarray(TOTAL - 1) };
    const { status, received } = await second.fragment(path, id, gap);
    expect([status, received]).toEqual([416, HALF]);
    expect((await second.fragment("/MEDVImages/Set_2.ckm", untouched, whole)).received).toBe(TOTAL);
    const carol = await openAs(origin, CAROL);
    expect((await carol.fragment(path, id, secondHalf)).code).toBe(CODE.sessionNotFound);
    carol.close();
    const other = { first: HALF, total: TOTAL + 1, bytes: file.subarray(HALF) };
    expect((await second.fragment(path, id, other)).status).toBe(400);
    await second.fragment(path, id, secondHalf);
    expect((await second.closeSession(path, id)).status).toBe(200);
    expect((await second.get(path)).body.equals(file)).toBe(true);
    second.close();
  });

  it("that was closed leaves a file that outlives the server's process", async ({ signal }) => {
    const folder = tempFolder();
    origin = await startBitsOrigin({ folder }, signal);
    const first = await openAs(origin);
    await first.upload(path, file);
    await origin.kill();
    first.close();

    origin = await startBitsOrigin({ folder }, signal);
    const second = await openAs(origin);
    expect((await second.get(path)).body.equals(file)).toBe(true);
    second.close();
  });

  it("is refused with 501 and E_ACCESSDENIED where uploads are off", async ({ signal }) => {
    origin = await startBitsOrigin({ folder: tempFolder(), bits: { BITSUploadEnabled: false } }, signal);
    const client = await openAs(origin);
    const { status, code } = await client.tryCreate(path);
    expect([status, code]).toEqual([501, CODE.accessDenied]);
    expect((await client.get(origin.packPath, ["Range: bytes=0-9"])).status).toBe(206);
    client.close();
  });

  it("takes a file of the largest size that is allowed, and none of one byte more", async ({ signal }) => {
    const bits = { BITSMaximumUploadSize: String(TOTAL) };
    origin = await startBitsOrigin({ folder: tempFolder(), bits }, signal);
    const client = await openAs(origin);
    const larger = new Uint8Array(TOTAL + 1);
    const id = await client.create(path);
    const { status, code } = await client.fragment(path, id, { first: 0, total: TOTAL + 1, bytes: larger });
    expect([status, code]).toEqual([500, CODE.tooLarge]);
    await client.upload("/MEDVImages/Set_2.ckm", file);
    client.close();
  });

  it("that nothing comes for is deleted with its data when its time is over", async ({ signal }) => {
    const folder = tempFolder();
    origin = await startBitsOrigin({ folder, bits: { BITSSessionTimeout: 1 } }, signal);
    const client = await openAs(origin);
    const id = await client.create(path);
    await client.fragment(path, id, firstHalf);
    expect(stagedData(folder)).toHaveLength(1);
    while (stagedData(folder).length > 0) await delay(POLL_MS, undefined, { signal }); // oxlint-disable-line no-await-in-loop -- nothing tells of it
    expect((await client.fragment(path, id, secondHalf)).code).toBe(CODE.sessionNotFound);
    client.close();
  });

  it("names the host that its client must go on with, where that is configured", async ({ signal }) => {
    const bits = { BITSHostId: "origin-2.example.com", BITSHostIdFallbackTimeout: 600 };
    origin = await startBitsOrigin({ folder: tempFolder(), bits }, signal);
    const client = await openAs(origin);
    const { headers } = await client.tryCreate(path);
    expect(headers.get("bits-host-id")).toEqual(["origin-2.example.com"]);
    expect(headers.get("bits-host-id-fallback-timeout")).toEqual(["600"]);
    client.close();
  });
});
