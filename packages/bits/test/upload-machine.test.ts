import { describe, expect, it } from "vitest";
import { beginUpload, HRESULT, stepUpload, uploadRecord } from "../src/index.js";
import { MAX_FRAGMENT_BYTES, MIN_FRAGMENT_BYTES } from "../src/fragment-size.js";
import { MAX_CANCEL_TRIES, MAX_NEW_SESSIONS, MAX_STALE_ANSWERS, PATIENCE_MS } from "../src/upload-machine.js";
import { PLAN, SESSION, sendingRig, UploadRig } from "./upload-rig.js";

const KIB = 1024;
const SESSION_GONE = { hresult: HRESULT.sessionNotFound };

function range(rig: UploadRig): readonly [number, number] | undefined {
  return rig.packet?.type === "fragment" ? [rig.packet.fragment.first, rig.packet.fragment.last] : undefined;
}

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
    expect(range(rig.received(256 * KIB))).toEqual([256 * KIB, 600 * KIB - 1]);
    expect(rig.received(600 * KIB).packet).toEqual({ type: "close", sessionId: SESSION });
    expect(rig.ack().action).toEqual({ type: "done" });
  });

  it("of one byte is one fragment", () => {
    const rig = sendingRig({ ...PLAN, totalBytes: 1 });
    expect(range(rig)).toEqual([0, 0]);
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
    expect(range(rig)).toEqual([256 * KIB, 768 * KIB - 1]);
    rig.received(768 * KIB, 8001);
    expect(range(rig)).toEqual([768 * KIB, 1024 * KIB - 1]);
  });

  it("never sends a fragment longer than 13 MiB", () => {
    const rig = sendingRig({ ...PLAN, totalBytes: 10_000_000_000 });
    let longest = 0;
    for (let count = 0; count < 20; count += 1) {
      const [first = 0, last = 0] = range(rig) ?? [];
      longest = Math.max(longest, last - first + 1);
      rig.received(last + 1);
    }
    expect(longest).toBe(MAX_FRAGMENT_BYTES);
  });

  it("does not learn from an answer that came late because the server filled in bytes of its own", () => {
    const rig = sendingRig({ ...PLAN, totalBytes: 100_000_000 }).received(50_000_000, 30_000);
    expect(range(rig)).toEqual([50_000_000, 50_000_000 + 256 * KIB - 1]);
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
    expect(range(new UploadRig().ack().reply({ type: "created", sessionId: SESSION, host }))?.[0]).toBe(0);
  });
});

describe("the offset of an Ack", () => {
  it("decides where the upload goes on: ahead, in the middle of what was sent, or behind", () => {
    const rig = sendingRig();
    expect(range(rig.received(500_000))?.[0]).toBe(500_000);
    expect(range(rig.received(500_010))?.[0]).toBe(500_010);
    expect(range(rig.received(7))?.[0]).toBe(7);
  });

  it("of 416 counts like that of 200", () => {
    const rig = sendingRig().received(256 * KIB);
    expect(range(rig.refused(416, { received: 100_000 }))?.[0]).toBe(100_000);
    expect(range(rig.refused(416, { received: 900_000 }))?.[0]).toBe(900_000);
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
    expect(range(rig)?.[0]).toBe(10);
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
    expect(range(rig)).toEqual([0, 63]);
    rig.reply({ type: "received", received: 5000, missing: [5000, 5999] });
    expect(range(rig)).toEqual([5000, 5999]);
    rig.reply({ type: "received", received: 900_000, missing: [900_000, 999_999] });
    expect(range(rig)).toEqual([900_000, 999_999]);
  });

  it("that begins later is waited for with short fragments", () => {
    const rig = sendingRig().reply({ type: "received", received: 300_000, missing: [900_000, 999_999] });
    expect(range(rig)).toEqual([300_000, 300_000 + MIN_FRAGMENT_BYTES - 1]);
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
    expect(range(rig)).toEqual([256 * KIB, 512 * KIB - 1]);
    rig.received(512 * KIB, 1);
    expect(range(rig)).toEqual([512 * KIB, 768 * KIB - 1]);
  });

  it("goes down to 5 KB, and then fails the upload with ERR_UPLOAD_TOO_LARGE", () => {
    const rig = sendingRig();
    const lengths: number[] = [];
    while (rig.action.type === "send" && lengths.length < 20) {
      lengths.push((range(rig)?.[1] ?? 0) + 1);
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

describe("a session that the server does not know", () => {
  it("is replaced, and the whole file sent again", () => {
    const rig = sendingRig().received(500_000).refused(500, SESSION_GONE);
    expect(rig.packet).toEqual({ type: "create" });
    rig.created("{second}");
    expect(rig.packet).toMatchObject({ type: "fragment", sessionId: "{second}", fragment: { first: 0 } });
  });

  it("is replaced at Close-Session too", () => {
    expect(sendingRig().received(PLAN.totalBytes).refused(500, SESSION_GONE).packet).toEqual({
      type: "create",
    });
  });

  it("is replaced where a server of ours says that the bytes are gone", () => {
    const gone = { code: "ERR_FILE_NOT_FOUND" } as const;
    expect(sendingRig().received(PLAN.totalBytes).refused(404, gone).packet).toEqual({ type: "create" });
  });

  it("is replaced five times; the sixth loss fails the upload", () => {
    const rig = sendingRig();
    for (let count = 0; count < MAX_NEW_SESSIONS; count += 1)
      rig.received(10).refused(500, SESSION_GONE).created();
    expect(rig.refused(500, SESSION_GONE).action).toMatchObject({
      type: "failed",
      error: { code: "ERR_BITS_SESSION_NOT_FOUND" },
    });
  });

  it("is not replaced on a bare 500, nor on 404 of another server", () => {
    expect(sendingRig().refused(500).action.type).toBe("wait");
    expect(sendingRig().refused(404).action.type).toBe("failed");
  });
});

describe("a lost connection", () => {
  it("leads to a Ping, then to a short fragment from the last acknowledged offset", () => {
    const rig = sendingRig()
      .received(256 * KIB)
      .lost();
    expect(rig.action).toMatchObject({ type: "wait", reason: { code: "ERR_ORIGIN_UNREACHABLE" } });
    rig.wait();
    expect(rig.packet).toEqual({ type: "ping" });
    expect(range(rig.ack())).toEqual([256 * KIB, 256 * KIB + MIN_FRAGMENT_BYTES - 1]);
  });

  it("does not send again what the server kept of the broken fragment", () => {
    const rig = sendingRig()
      .received(256 * KIB)
      .lost();
    rig.wait();
    rig.ack().received(700_000);
    expect(range(rig)).toEqual([700_000, PLAN.totalBytes - 1]);
  });

  it("amid Create-Session leads to another one", () => {
    const rig = new UploadRig().ack().lost();
    rig.wait();
    expect(rig.ack().packet).toEqual({ type: "create" });
  });

  it("amid Close-Session leads to another one", () => {
    const rig = sendingRig().received(PLAN.totalBytes).lost("ERR_TIMEOUT");
    rig.wait();
    expect(rig.ack().packet).toEqual({ type: "close", sessionId: SESSION });
    expect(rig.ack().action).toEqual({ type: "done" });
  });

  it("before the first answer fails at once: the address may be wrong", () => {
    expect(new UploadRig().lost().action).toMatchObject({
      type: "failed",
      error: { code: "ERR_ORIGIN_UNREACHABLE" },
    });
  });

  it("is tried again after 1, 2, 4 … 60 s, each ± half by chance", () => {
    const rig = sendingRig();
    const waits: number[] = [];
    for (let count = 0; count < 9; count += 1) {
      rig.lost();
      waits.push(rig.wait());
    }
    const usual = [1, 2, 4, 8, 16, 32, 60, 60, 60];
    for (const [at, ms] of waits.entries()) {
      expect(ms).toBeGreaterThanOrEqual((usual[at] ?? 0) * 500);
      expect(ms).toBeLessThan((usual[at] ?? 0) * 1500);
    }
    expect(new Set(waits.slice(6)).size).toBe(3);
  });

  it("for 15 minutes fails the upload with the last reason", () => {
    const rig = sendingRig();
    let tries = 0;
    while (rig.lost(tries % 2 === 0 ? "ERR_TIMEOUT" : "ERR_ORIGIN_UNREACHABLE").action.type === "wait") {
      rig.wait();
      tries += 1;
    }
    expect(rig.action).toMatchObject({
      type: "failed",
      error: { code: tries % 2 === 0 ? "ERR_TIMEOUT" : "ERR_ORIGIN_UNREACHABLE" },
    });
    expect(rig.clock.now()).toBeGreaterThan(PATIENCE_MS - 90_000);
    expect(rig.clock.now()).toBeLessThanOrEqual(PATIENCE_MS + 200);
  });

  it("is forgiven by a fragment that gets through", () => {
    const rig = sendingRig({ ...PLAN, patienceMs: 60_000 });
    for (let hour = 0; hour < 100; hour += 1) {
      rig.clock.advance(3_600_000);
      rig.lost();
      expect(rig.wait()).toBeLessThan(1500);
      rig.ack().received(1000 * (hour + 1));
    }
    expect(range(rig)?.[0]).toBe(100_000);
  });

  it("is not forgiven by a Ping that gets through", () => {
    const rig = sendingRig({ ...PLAN, patienceMs: 60_000 });
    let tries = 0;
    while (rig.lost().action.type === "wait" && tries < 100) {
      rig.wait();
      rig.ack();
      tries += 1;
    }
    expect(rig.action.type).toBe("failed");
    expect(tries).toBeLessThan(10);
  });

  it.each(["ERR_AUTH_REQUIRED", "ERR_ABORTED", "ERR_CONFIG_INVALID"] as const)(
    "is not the case for %s",
    (code) => {
      expect(sendingRig().lost(code).action).toMatchObject({ type: "failed", error: { code } });
    },
  );
});

describe("a refusal that may pass", () => {
  it.each([408, 429, 500, 502, 503, 504, 507])(
    "%i is waited for, and the packet sent again after a Ping",
    (status) => {
      const rig = sendingRig().received(PLAN.totalBytes).refused(status);
      rig.wait();
      expect(rig.packet).toEqual({ type: "ping" });
      expect(rig.ack().packet).toEqual({ type: "close", sessionId: SESSION });
    },
  );

  it("is waited for as long as the server says", () => {
    expect(sendingRig().refused(503, { retryAfterSeconds: 120 }).wait()).toBe(120_000);
  });

  it("is not waited for beyond the patience", () => {
    expect(sendingRig().refused(503, { retryAfterSeconds: 901 }).action.type).toBe("failed");
  });

  it.each([HRESULT.diskFull, 0x80070112])("names a full disk of the server: 0x%i", (hresult) => {
    expect(sendingRig().refused(500, { hresult }).action).toMatchObject({
      type: "wait",
      reason: { code: "ERR_STORE_FULL" },
    });
  });

  it("names a time-out of the application behind the server, whose code is one of the disk's too", () => {
    expect(sendingRig().refused(408, { hresult: HRESULT.notificationTimeout }).action).toMatchObject({
      type: "wait",
      reason: { code: "ERR_TIMEOUT" },
    });
  });

  it("goes on where it was when there is space again", () => {
    const rig = sendingRig().received(500_000).refused(500, { hresult: HRESULT.diskFull, received: 510_000 });
    rig.wait();
    expect(range(rig.ack())?.[0]).toBe(500_000);
    expect(range(rig.received(510_000))?.[0]).toBe(510_000);
  });
});

describe("a refusal that does not pass", () => {
  it.each([
    [400, { hresult: HRESULT.invalidArgument }, "ERR_UPLOAD_REFUSED"],
    [401, {}, "ERR_AUTH_REQUIRED"],
    [403, { hresult: HRESULT.accessDenied }, "ERR_AUTH_FORBIDDEN"],
    [403, { hresult: HRESULT.accessDenied, code: "ERR_IMAGE_EXISTS" }, "ERR_IMAGE_EXISTS"],
    [404, {}, "ERR_UPLOAD_DISABLED"],
    [405, {}, "ERR_UPLOAD_DISABLED"],
    [407, {}, "ERR_AUTH_REQUIRED"],
    [409, {}, "ERR_IMAGE_EXISTS"],
    [411, {}, "ERR_UPLOAD_REFUSED"],
    [415, {}, "ERR_UPLOAD_REFUSED"],
    [500, { hresult: HRESULT.tooLarge }, "ERR_UPLOAD_TOO_LARGE"],
    [501, { hresult: HRESULT.accessDenied }, "ERR_UPLOAD_DISABLED"],
    [505, {}, "ERR_ORIGIN_BUSY"],
  ] as const)("%i with %j fails the upload with %s", (status, more, code) => {
    expect(new UploadRig().ack().refused(status, more).action).toMatchObject({
      type: "failed",
      error: { code },
    });
  });

  it("tells what the server said", () => {
    const more = { hresult: HRESULT.accessDenied, context: 5, code: "ERR_IMAGE_EXISTS" } as const;
    expect(new UploadRig().ack().refused(403, more).action).toMatchObject({
      error: {
        message: "the server has this file, and it may not be overwritten (create: status 403, 0x80070005)",
        details: {
          packet: "create",
          status: 403,
          hresult: "0x80070005",
          context: 5,
          remoteCode: "ERR_IMAGE_EXISTS",
        },
      },
    });
  });

  it("does not take a code of the server's inner life for one of its own", () => {
    const rig = sendingRig().refused(400, { code: "ERR_CONFIG_INVALID" });
    expect(rig.action).toMatchObject({
      error: { code: "ERR_UPLOAD_REFUSED", details: { remoteCode: "ERR_CONFIG_INVALID" } },
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
    expect(range(rig.ack())).toEqual([500_000, 500_000 + MIN_FRAGMENT_BYTES - 1]);
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
