import { EventEmitter, once } from "node:events";
import { mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { eventually } from "../origin-fixture.js";
import { startUploads, type TestUploads } from "./upload-fixture.js";

const NOT_FOUND = { status: 500, headers: { "BITS-Error-Code": "0x8020001F" } };
const TEN = Buffer.from("0123456789");

function folders(uploads: TestUploads): readonly string[] {
  return readdirSync(join(uploads.staging, "sessions"));
}

describe("sessions and restarts", () => {
  it("go on at the acknowledged byte after the origin was killed", async () => {
    const before = await startUploads();
    const id = await before.create();
    await before.fragment(id, 0, TEN.subarray(0, 6), 10);
    const after = await startUploads({ before });
    expect(after.intake.followed[1]?.upload).toMatchObject({
      received: 6,
      total: 10,
      user: { name: "alice" },
    });
    expect((await after.fragment(id, 0, TEN, 11)).status).toBe(400);
    expect((await after.fragment(id, 7, TEN.subarray(7), 10)).headers).toMatchObject({
      "BITS-Received-Content-Range": "6",
    });
    await after.fragment(id, 6, TEN.subarray(6), 10);
    await after.close(id);
    expect(after.published("win7_1.ckm")).toEqual(TEN);
  });

  it("stay bound to their user and URL", async () => {
    const before = await startUploads();
    const id = await before.create();
    const after = await startUploads({ before });
    expect(await after.fragment(id, 0, TEN, 10, { user: "bob" })).toMatchObject(NOT_FOUND);
    expect(await after.fragment(id, 0, TEN, 10, { target: "/MEDVImages/other_1.ckm" })).toMatchObject(
      NOT_FOUND,
    );
    expect((await after.fragment(id, 0, TEN, 10)).status).toBe(200);
  });

  it("know their total although the disk was full when it was first said", async () => {
    const before = await startUploads();
    const id = await before.create();
    const obstacle = join(before.staging, "sessions", folders(before)[0] ?? "", "record.tmp");
    mkdirSync(obstacle);
    expect((await before.fragment(id, 0, TEN, 10)).status).toBe(500);
    rmSync(obstacle, { recursive: true });
    expect((await before.fragment(id, 0, TEN, 10)).status).toBe(200);
    const after = await startUploads({ before });
    expect((await after.close(id)).status).toBe(200);
    expect(after.published("win7_1.ckm")).toEqual(TEN);
  });

  it("tell nobody but their user that they were closed", async () => {
    const before = await startUploads();
    const id = await before.create();
    await before.fragment(id, 0, TEN, 10);
    await before.close(id);
    const after = await startUploads({ before });
    expect(await after.close(id, { user: "bob" })).toMatchObject(NOT_FOUND);
    expect((await after.close(id)).status).toBe(200);
  });

  it("take no more of the file than its total says", async () => {
    const before = await startUploads();
    const id = await before.create();
    await before.fragment(id, 0, TEN.subarray(0, 5), 10);
    const [name = ""] = folders(before);
    writeFileSync(join(before.staging, "sessions", name, "data"), "0123456789 and more");
    const after = await startUploads({ before });
    expect((await after.fragment(id, 0, TEN, 10)).headers).toMatchObject({
      "BITS-Received-Content-Range": "10",
    });
    await after.close(id);
    expect(after.published("win7_1.ckm")).toEqual(TEN);
  });

  it("are swept where nobody was told of them, or their bytes are gone", async () => {
    const before = await startUploads();
    const id = await before.create();
    const [name = ""] = folders(before);
    rmSync(join(before.staging, "sessions", name, "data"));
    mkdirSync(join(before.staging, "sessions", "00000000-0000-4000-8000-000000000000"));
    const after = await startUploads({ before });
    expect(folders(after)).toEqual([]);
    expect(await after.close(id)).toMatchObject(NOT_FOUND);
  });

  it.each(["", "{", "{}", '{"format":2}'])("are swept with a damaged record: %s", async (record) => {
    const before = await startUploads();
    await before.create();
    const [name = ""] = folders(before);
    writeFileSync(join(before.staging, "sessions", name, "record.json"), record);
    const after = await startUploads({ before });
    expect(folders(after)).toEqual([]);
  });

  it("leave alone what is no session", async () => {
    const before = await startUploads();
    await before.create();
    writeFileSync(join(before.staging, "sessions", "notes.txt"), "mine");
    const after = await startUploads({ before });
    expect(folders(after)).toHaveLength(2);
    expect(folders(after)).toContain("notes.txt");
  });

  it("answer 404 when the uploaded bytes have vanished", async () => {
    const uploads = await startUploads();
    const id = await uploads.create();
    await uploads.fragment(id, 0, TEN, 10);
    rmSync(join(uploads.staging, "sessions", folders(uploads)[0] ?? "", "data"));
    expect((await uploads.close(id)).status).toBe(404);
    expect(folders(uploads)).toEqual([]);
  });
});

describe("the end of sessions", () => {
  it("comes BITSSessionTimeout after the last message", async () => {
    const clock = new VirtualClock();
    const uploads = await startUploads({ clock, bits: { BITSSessionTimeout: 100 } });
    const id = await uploads.create();
    clock.advance(99_000);
    expect((await uploads.fragment(id, 0, TEN.subarray(0, 4), 10)).status).toBe(200);
    clock.advance(99_000);
    expect((await uploads.fragment(id, 0, TEN.subarray(0, 4), 10)).status).toBe(200);
    clock.advance(100_000);
    expect(await uploads.fragment(id, 4, TEN.subarray(4), 10)).toMatchObject(NOT_FOUND);
    await eventually(() => {
      clock.advance(1);
      return folders(uploads).length === 0 && uploads.audit.length > 1;
    });
    expect(uploads.intake.followed[0]?.ended).toBe("discarded");
    expect(uploads.audit.at(-1)).toMatchObject({ outcome: "expired", user: "alice", bytes: 4 });
  });

  it("comes BITSSessionTimeout after the last byte for those found at a start", async () => {
    const clock = new VirtualClock(Date.now());
    const before = await startUploads({ clock });
    const id = await before.create();
    await before.fragment(id, 0, TEN.subarray(0, 4), 10);
    const [name = ""] = folders(before);
    const file = join(before.staging, "sessions", name, "data");
    clock.advance(1_000_000);
    utimesSync(file, clock.wall() / 1000, clock.wall() / 1000);
    clock.advance(99_000);
    const after = await startUploads({ before, clock, bits: { BITSSessionTimeout: 100 } });
    expect((await after.fragment(id, 0, TEN.subarray(0, 4), 10)).status).toBe(200);
    utimesSync(file, clock.wall() / 1000 - 100, clock.wall() / 1000 - 100);
    const later = await startUploads({ before: after, clock, bits: { BITSSessionTimeout: 100 } });
    expect(await later.fragment(id, 0, TEN, 10)).toMatchObject(NOT_FOUND);
  });

  it("comes with the cleanup task for the newest that are above BITSNumberOfSessionsLimit", async () => {
    const clock = new VirtualClock();
    const bits = {
      BITSNumberOfSessionsLimit: 2,
      BITSCleanupUseDefault: false,
      BITSCleanupUnits: 0,
      BITSCleanupCount: 30,
    };
    const uploads = await startUploads({ clock, bits });
    const ids: string[] = [];
    for (let i = 0; i < 3; i += 1) {
      clock.advance(1000);
      ids.push(await uploads.create());
    }
    const [oldest = "", , newest = ""] = ids;
    const others = await uploads.create({ user: "bob" });
    clock.advance(25 * 60_000);
    expect((await uploads.fragment(newest, 0, TEN, 10)).status).toBe(200);
    clock.advance(5 * 60_000);
    await eventually(() => {
      clock.advance(1);
      return folders(uploads).length === 3;
    });
    expect(await uploads.fragment(newest, 0, TEN, 10)).toMatchObject(NOT_FOUND);
    expect((await uploads.fragment(oldest, 0, TEN, 10)).status).toBe(200);
    expect((await uploads.fragment(others, 0, TEN, 10, { user: "bob" })).status).toBe(200);
    expect(uploads.audit.at(-1)).toMatchObject({ outcome: "dropped", user: "alice" });
  });

  it("is not brought by the cleanup task where BITSSessionLimitEnable is off", async () => {
    const clock = new VirtualClock();
    const uploads = await startUploads({
      clock,
      bits: { BITSNumberOfSessionsLimit: 1, BITSSessionLimitEnable: false },
    });
    await uploads.create();
    await uploads.create();
    clock.advance(13 * 3_600_000);
    const ids = folders(uploads);
    expect(ids).toHaveLength(2);
  });

  it("can be brought by the composition", async () => {
    const uploads = await startUploads();
    const id = await uploads.create();
    const key = id.slice(1, -1).toLowerCase();
    const admin = { user: "carol", address: "10.0.0.1" };
    expect(await uploads.sessions.drop(key, admin)).toBe(true);
    expect(await uploads.sessions.drop(key, admin)).toBe(false);
    expect(uploads.audit.at(-1)).toMatchObject({ outcome: "cancelled", ...admin, session: key });
    expect(folders(uploads)).toEqual([]);
    expect(await uploads.close(id)).toMatchObject(NOT_FOUND);
  });
});

describe("sessions of one user", () => {
  it("are never more than twice BITSNumberOfSessionsLimit, also when many are asked for at once", async () => {
    const uploads = await startUploads({ bits: { BITSNumberOfSessionsLimit: 2 } });
    const create = { type: "Create-Session" };
    const answers = await Promise.all(Array.from({ length: 9 }, () => uploads.send(create)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(4);
    expect(folders(uploads)).toHaveLength(4);
  });
});

describe("packets of one session", () => {
  it("run one after the other: the second is trimmed", async () => {
    const uploads = await startUploads();
    const id = await uploads.create();
    const [first, second, third] = await Promise.all([
      uploads.fragment(id, 0, TEN.subarray(0, 5), 10),
      uploads.fragment(id, 0, TEN.subarray(0, 8), 10),
      uploads.fragment(id, 4, TEN.subarray(4), 10),
    ]);
    expect([first, second, third].map(({ headers }) => headers["BITS-Received-Content-Range"])).toEqual([
      "5",
      "8",
      "10",
    ]);
    await uploads.close(id);
    expect(uploads.published("win7_1.ckm")).toEqual(TEN);
  });

  it("may be two Closes, whose client lost the first answer: both are answered alike", async () => {
    const uploads = await startUploads();
    const id = await uploads.create();
    await uploads.fragment(id, 0, TEN, 10);
    const answers = await Promise.all([uploads.close(id), uploads.close(id), uploads.close(id)]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect((await uploads.close(id)).status).toBe(200);
  });

  it("cut off a fragment that brings nothing any more", async () => {
    const clock = new VirtualClock();
    const uploads = await startUploads({ clock });
    const id = await uploads.create();
    const reading = new EventEmitter();
    async function* silent(): AsyncIterable<Buffer> {
      yield TEN.subarray(0, 3);
      reading.emit("silence");
      await new Promise(() => {});
    }
    const silence = once(reading, "silence");
    const dead = uploads.fragment(id, 0, TEN, 10, { body: silent() });
    await silence;
    const alive = uploads.fragment(id, 0, TEN, 10);
    clock.advance(9000);
    clock.advance(11_000);
    await expect(dead).rejects.toMatchObject({ code: "ERR_ABORTED" });
    expect((await alive).headers).toMatchObject({ "BITS-Received-Content-Range": "10" });
    await uploads.close(id);
    expect(uploads.published("win7_1.ckm")).toEqual(TEN);
  });

  it("need not wait for a body that nobody wants any more", async () => {
    const uploads = await startUploads();
    const reading = new EventEmitter();
    async function* endless(): AsyncIterable<Buffer> {
      yield TEN.subarray(0, 3);
      reading.emit("silence");
      await new Promise(() => {});
    }
    const admin = { user: "carol", address: "10.0.0.1" };
    for (const end of [
      (id: string) => uploads.send({ type: "Cancel-Session", headers: { "bits-session-id": id } }),
      (id: string) => uploads.sessions.drop(id.slice(1, -1).toLowerCase(), admin),
    ]) {
      const id = await uploads.create();
      const silence = once(reading, "silence");
      const running = uploads.fragment(id, 0, TEN, 10, { body: endless() });
      await silence;
      await Promise.all([expect(running).rejects.toMatchObject({ code: "ERR_ABORTED" }), end(id)]);
      expect(await uploads.close(id)).toMatchObject(NOT_FOUND);
    }
    expect(folders(uploads)).toEqual([]);
  });

  it("are refused with 503 when too many wait", async () => {
    const uploads = await startUploads();
    const id = await uploads.create();
    const gate = new EventEmitter();
    async function* slow(): AsyncIterable<Buffer> {
      const isOpen = once(gate, "open");
      gate.emit("reached");
      await isOpen;
      yield TEN;
    }
    const isReached = once(gate, "reached");
    const running = uploads.fragment(id, 0, TEN, 10, { body: slow() });
    const waiting = Array.from({ length: 12 }, () => uploads.fragment(id, 0, TEN, 10));
    const refused = await Promise.all(waiting.slice(8));
    expect(refused.map(({ status }) => status)).toEqual([503, 503, 503, 503]);
    await isReached;
    gate.emit("open");
    expect((await Promise.all([running, ...waiting.slice(0, 8)])).map(({ status }) => status)).toEqual(
      Array.from({ length: 9 }, () => 200),
    );
  });

  it("may be 256 bodies at a time, of all sessions", async () => {
    const uploads = await startUploads({ bits: { BITSSessionLimitEnable: false } });
    const gate = new EventEmitter().setMaxListeners(0);
    async function* held(): AsyncIterable<Buffer> {
      await once(gate, "open");
      yield TEN;
    }
    const ids = await Promise.all(Array.from({ length: 257 }, () => uploads.create()));
    const [last = "", ...others] = ids;
    let reached = 0;
    async function* counted(): AsyncIterable<Buffer> {
      reached += 1;
      yield* held();
    }
    const running = others.map((id) => uploads.fragment(id, 0, TEN, 10, { body: counted() }));
    expect((await uploads.fragment(last, 0, TEN, 10)).status).toBe(503);
    await eventually(() => reached === 256);
    gate.emit("open");
    expect((await Promise.all(running)).every(({ status }) => status === 200)).toBe(true);
    expect((await uploads.fragment(last, 0, TEN, 10)).status).toBe(200);
  });
});
