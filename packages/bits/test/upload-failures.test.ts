import { describe, expect, it } from "vitest";
import { MIN_FRAGMENT_BYTES } from "../src/fragment-size.js";
import { HRESULT } from "../src/index.js";
import { MAX_NEW_SESSIONS, PATIENCE_MS } from "../src/upload-machine.js";
import { PLAN, rangeOf, SESSION, SESSION_GONE, sendingRig, UploadRig } from "./upload-rig.js";

const KIB = 1024;

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
    expect(rangeOf(rig.ack())).toEqual([256 * KIB, 256 * KIB + MIN_FRAGMENT_BYTES - 1]);
  });

  it("does not send again what the server kept of the broken fragment", () => {
    const rig = sendingRig()
      .received(256 * KIB)
      .lost();
    rig.wait();
    rig.ack().received(700_000);
    expect(rangeOf(rig)).toEqual([700_000, PLAN.totalBytes - 1]);
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
    expect(rangeOf(rig)?.[0]).toBe(100_000);
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
    expect(rangeOf(rig.ack())?.[0]).toBe(500_000);
    expect(rangeOf(rig.received(510_000))?.[0]).toBe(510_000);
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
