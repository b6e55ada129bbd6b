import { describe, expect, it } from "vitest";
import { MAX_FRAGMENT_BYTES, MIN_FRAGMENT_BYTES } from "../src/fragment-size.js";
import { beginUpload, stepUpload, uploadRecord } from "../src/index.js";
import { MAX_CANCEL_TRIES, MAX_STALE_ANSWERS } from "../src/upload-machine.js";
import { PLAN, rangeOf, SESSION, SESSION_GONE, sendingRig, UploadRig } from "./upload-rig.js";

const KIB = 1024;

describe("an upload", () => {
  it("is Ping, Create-Session, Fragments in order, Close-Session", () => {
    const rig = new UploadRig({ ...PLAN, totalBytes: 600 * KIB });
    expect(rig.packet).toEqual({ type: "ping" });
    expect(rig.ack().packet).toEqual({ type: "create" });
    expect(rig.created().packet).toEqual({
      type: "fragment",
      sessionId: SESSION,
      fragment: { first: 0, last: 256 * KIB - 1, total: 600 * KIB },
    });
    expect(rangeOf(rig.received(256 * KIB))).toEqual([256 * KIB, 600 * KIB - 1]);
    expect(rig.received(600 * KIB).packet).toEqual({ type: "close", sessionId: SESSION });
    expect(rig.ack().action).toEqual({ type: "done" });
  });

  it("of one byte is one fragment", () => {
    const rig = sendingRig({ ...PLAN, totalBytes: 1 });
    expect(rangeOf(rig)).toEqual([0, 0]);
    expect(rig.received(1).packet).toEqual({ type: "close", sessionId: SESSION });
  });

  it("of no byte is none", () => {
    expect(() => beginUpload({ ...PLAN, totalBytes: 0 })).toThrow(/^unreachable/);
  });

  it("takes no event after its end", () => {
    const rig = sendingRig({ ...PLAN, totalBytes: 1 })
      .received(1)
      .ack();
    expect(() => rig.ack()).toThrow(/^unreachable/);
    expect(uploadRecord(rig.state)).toBeUndefined();
  });

  it("doubles its fragments while they take less than 2 s, and halves them above 8 s", () => {
    const rig = sendingRig({ ...PLAN, totalBytes: 100_000_000 });
    rig.received(256 * KIB, 1999);
    expect(rangeOf(rig)).toEqual([256 * KIB, 768 * KIB - 1]);
    rig.received(768 * KIB, 8001);
    expect(rangeOf(rig)).toEqual([768 * KIB, 1024 * KIB - 1]);
  });

  it("never sends a fragment longer than 13 MiB", () => {
    const rig = sendingRig({ ...PLAN, totalBytes: 10_000_000_000 });
    let longest = 0;
    for (let count = 0; count < 20; count += 1) {
      const [first = 0, last = 0] = rangeOf(rig) ?? [];
      longest = Math.max(longest, last - first + 1);
      rig.received(last + 1);
    }
    expect(longest).toBe(MAX_FRAGMENT_BYTES);
  });

  it("does not learn from an answer that came late because the server filled in bytes of its own", () => {
    const rig = sendingRig({ ...PLAN, totalBytes: 100_000_000 }).received(50_000_000, 30_000);
    expect(rangeOf(rig)).toEqual([50_000_000, 50_000_000 + 256 * KIB - 1]);
  });

  it("fails where the server names a host that the user did not", () => {
    const host = { name: "node2.example.net", fallbackSeconds: 60 };
    const rig = new UploadRig().ack().reply({ type: "created", sessionId: SESSION, host });
    expect(rig.action).toMatchObject({
      type: "failed",
      error: { code: "ERR_UPLOAD_REFUSED", details: { host: host.name } },
    });
  });

  it("goes on where the server names the host that the user did", () => {
    const host = { name: "ORIGIN.example.net", fallbackSeconds: 60 };
    expect(rangeOf(new UploadRig().ack().reply({ type: "created", sessionId: SESSION, host }))?.[0]).toBe(0);
  });
});

describe("the offset of an Ack", () => {
  it("decides where the upload goes on: ahead, in the middle of what was sent, or behind", () => {
    const rig = sendingRig();
    expect(rangeOf(rig.received(500_000))?.[0]).toBe(500_000);
    expect(rangeOf(rig.received(500_010))?.[0]).toBe(500_010);
    expect(rangeOf(rig.received(7))?.[0]).toBe(7);
  });

  it("of 416 counts like that of 200", () => {
    const rig = sendingRig().received(256 * KIB);
    expect(rangeOf(rig.refused(416, { received: 100_000 }))?.[0]).toBe(100_000);
    expect(rangeOf(rig.refused(416, { received: 900_000 }))?.[0]).toBe(900_000);
  });

  it("at the end of the file leads to Close-Session, from 416 too", () => {
    const rig = sendingRig().refused(416, { received: PLAN.totalBytes });
    expect(rig.packet).toEqual({ type: "close", sessionId: SESSION });
  });

  it("beyond the file is ERR_ORIGIN_INVALID", () => {
    expect(sendingRig().received(PLAN.totalBytes + 1).action).toMatchObject({
      type: "failed",
      error: { code: "ERR_ORIGIN_INVALID" },
    });
  });

  it("is missing in a 416: the upload fails", () => {
    expect(sendingRig().refused(416).action).toMatchObject({
      type: "failed",
      error: { code: "ERR_UPLOAD_REFUSED" },
    });
  });

  it("that does not move is asked for 33 times, then the upload fails", () => {
    const rig = sendingRig().received(10);
    for (let count = 0; count < MAX_STALE_ANSWERS; count += 1) rig.refused(416, { received: 10 });
    expect(rangeOf(rig)?.[0]).toBe(10);
    expect(rig.refused(416, { received: 10 }).action).toMatchObject({
      error: { code: "ERR_ORIGIN_INVALID" },
    });
  });

  it("that goes back for ever ends the upload", () => {
    const rig = sendingRig({ ...PLAN, firstBytes: 10, maxFragmentBytes: 10 })
      .received(10)
      .received(20);
    let answers = 0;
    while (rig.action.type === "send" && answers < 1000) {
      rig.received(answers % 2 === 0 ? 10 : 20);
      answers += 1;
    }
    expect(rig.action).toMatchObject({ type: "failed", error: { code: "ERR_ORIGIN_INVALID" } });
    expect(answers).toBeLessThan(2 * MAX_STALE_ANSWERS + 3);
  });
});

describe("the missing run of an Ack", () => {
  it("bounds the next fragment, whose Ack brings the next run", () => {
    const rig = sendingRig({ ...PLAN, firstBytes: 64 });
    expect(rangeOf(rig)).toEqual([0, 63]);
    rig.reply({ type: "received", received: 5000, missing: [5000, 5999] });
    expect(rangeOf(rig)).toEqual([5000, 5999]);
    rig.reply({ type: "received", received: 900_000, missing: [900_000, 999_999] });
    expect(rangeOf(rig)).toEqual([900_000, 999_999]);
  });

  it("that begins later is waited for with short fragments", () => {
    const rig = sendingRig().reply({ type: "received", received: 300_000, missing: [900_000, 999_999] });
    expect(rangeOf(rig)).toEqual([300_000, 300_000 + MIN_FRAGMENT_BYTES - 1]);
  });

  it("is none when the server has all: 64 bytes make the upload", () => {
    const rig = sendingRig({ ...PLAN, firstBytes: 64 });
    expect(rig.received(PLAN.totalBytes).packet).toEqual({ type: "close", sessionId: SESSION });
  });

  it.each([
    [50, 99],
    [1000, PLAN.totalBytes],
  ])("of %i to %i, outside what is wanted, is ERR_ORIGIN_INVALID", (first, last) => {
    const rig = sendingRig().reply({ type: "received", received: 100, missing: [first, last] });
    expect(rig.action).toMatchObject({ type: "failed", error: { code: "ERR_ORIGIN_INVALID" } });
  });
});

describe("413", () => {
  it("halves the fragment at the same offset, and the size does not grow again", () => {
    const rig = sendingRig()
      .received(256 * KIB)
      .refused(413, { received: 256 * KIB });
    expect(rangeOf(rig)).toEqual([256 * KIB, 512 * KIB - 1]);
    rig.received(512 * KIB, 1);
    expect(rangeOf(rig)).toEqual([512 * KIB, 768 * KIB - 1]);
  });

  it("goes down to 5 KB, and then fails the upload with ERR_UPLOAD_TOO_LARGE", () => {
    const rig = sendingRig();
    const lengths: number[] = [];
    while (rig.action.type === "send" && lengths.length < 20) {
      lengths.push((rangeOf(rig)?.[1] ?? 0) + 1);
      rig.refused(413);
    }
    expect(lengths).toEqual([256, 128, 64, 32, 16, 8, 5].map((kib) => kib * KIB));
    expect(rig.action).toMatchObject({ type: "failed", error: { code: "ERR_UPLOAD_TOO_LARGE" } });
  });

  it.each(["create", "close"])("to a %s is no matter of fragments", (packet) => {
    const rig = packet === "create" ? new UploadRig().ack() : sendingRig().received(PLAN.totalBytes);
    expect(rig.refused(413).action).toMatchObject({
      type: "failed",
      error: { code: "ERR_UPLOAD_TOO_LARGE" },
    });
  });
});

describe("a record of an earlier run", () => {
  const record = { sessionId: SESSION, received: 500_000 };

  it("is there from Create-Session on, and leads on with a Ping and a short fragment", () => {
    expect(uploadRecord(new UploadRig().ack().state)).toBeUndefined();
    expect(uploadRecord(sendingRig().received(500_000).state)).toEqual(record);
    const rig = new UploadRig(PLAN, record);
    expect(rig.packet).toEqual({ type: "ping" });
    expect(rangeOf(rig.ack())).toEqual([500_000, 500_000 + MIN_FRAGMENT_BYTES - 1]);
  });

  it("of a complete file leads to Close-Session", () => {
    const rig = new UploadRig(PLAN, { ...record, received: PLAN.totalBytes });
    expect(rig.ack().packet).toEqual({ type: "close", sessionId: SESSION });
  });

  it("of a session that is gone leads to a new one", () => {
    expect(new UploadRig(PLAN, record).ack().refused(500, SESSION_GONE).packet).toEqual({ type: "create" });
  });

  it("beyond the file is not used", () => {
    expect(new UploadRig(PLAN, { ...record, received: PLAN.totalBytes + 1 }).ack().packet).toEqual({
      type: "create",
    });
  });
});

describe("an upload that is given up", () => {
  const cancel = { type: "cancel", sessionId: SESSION };

  it("has its session cancelled", () => {
    const rig = sendingRig().give("cancel");
    expect(rig.packet).toEqual(cancel);
    expect(rig.ack().action).toEqual({ type: "cancelled" });
  });

  it("has nothing to cancel before there is a session", () => {
    expect(new UploadRig().ack().give("cancel").action).toEqual({ type: "cancelled" });
    expect(new UploadRig().give("cancel").action).toEqual({ type: "cancelled" });
  });

  it("is cancelled where the server does not know the session any more", () => {
    expect(sendingRig().give("cancel").refused(500, SESSION_GONE).action).toEqual({ type: "cancelled" });
  });

  it("has its session cancelled amid a wait too", () => {
    expect(sendingRig().lost().give("cancel").packet).toEqual(cancel);
  });

  it("tries to cancel three times", () => {
    const rig = sendingRig().give("cancel");
    for (let count = 1; count < MAX_CANCEL_TRIES; count += 1) {
      rig.refused(503).wait();
      expect(rig.ack().packet).toEqual(cancel);
    }
    expect(rig.refused(503).action).toMatchObject({ type: "failed", error: { code: "ERR_ORIGIN_BUSY" } });
  });

  it("because its file changed fails with ERR_UPLOAD_CONFLICT once the server was told", () => {
    const rig = sendingRig().give("changed");
    expect(rig.packet).toEqual(cancel);
    expect(rig.ack().action).toMatchObject({ type: "failed", error: { code: "ERR_UPLOAD_CONFLICT" } });
  });

  it("because its file changed says so even where the server could not be told", () => {
    const rig = sendingRig().give("changed").refused(403);
    expect(rig.action).toMatchObject({ type: "failed", error: { code: "ERR_UPLOAD_CONFLICT" } });
  });
});

describe("a driver that breaks the rules", () => {
  it("is told so", () => {
    const { state } = sendingRig().lost();
    const reply = { type: "ack" } as const;
    expect(() => stepUpload(PLAN, state, { type: "reply", reply, now: 0 }, { next: () => 0 })).toThrow(
      /^unreachable/,
    );
    expect(() => new UploadRig().received(5)).toThrow(/^unreachable/);
    expect(() => new UploadRig().created()).toThrow(/^unreachable/);
    expect(() => sendingRig().ack()).toThrow(/^unreachable/);
    expect(() => stepUpload(PLAN, sendingRig().state, { type: "wake", now: 0 }, { next: () => 0 })).toThrow(
      /^unreachable/,
    );
  });
});
