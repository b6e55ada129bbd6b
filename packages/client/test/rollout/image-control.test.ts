import { EventEmitter, once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@ckmesh/core";
import { type ControlRecord, emptyControl, encodeControl } from "@ckmesh/image";
import type { SmallFileAnswer } from "@ckmesh/net";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it, onTestFinished } from "vitest";
import type { ClientContext } from "../../src/client-context.js";
import { ImageControl } from "../../src/rollout/image-control.js";

const signal = new AbortController().signal;

function answerOf(serial: number, change: Partial<ControlRecord> = {}): SmallFileAnswer {
  const bytes = encodeControl({ ...emptyControl("Win11"), serial, ...change }, []);
  return { bytes, header: (name) => (name === "etag" ? `"${serial}"` : undefined) };
}

interface Setup {
  readonly control: ImageControl;
  /** What the origin gives next, in order. */
  readonly answers: (SmallFileAnswer | Promise<SmallFileAnswer>)[];
  /** As after a restart. */
  readonly again: (change?: Partial<Pick<ClientContext, "trust">>) => Promise<ImageControl>;
}

async function setup(isOriginPrivate = true): Promise<Setup> {
  const folder = mkdtempSync(join(tmpdir(), "ckmesh-control-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const answers: (SmallFileAnswer | Promise<SmallFileAnswer>)[] = [];
  const fetchSmallFile = async (): Promise<SmallFileAnswer> => {
    const next = answers.shift();
    if (next === undefined) throw new Error("not asked for");
    return next;
  };
  const context = {
    // Only what is used; the rest would be a whole client.
    store: { folder: () => folder },
    origin: { fetchSmallFile },
    trust: { publishers: [], signature: "whenConfigured" },
    isOriginPrivate,
    follower: { id: "ab", groups: [] },
    clock: new VirtualClock(),
  } as const;
  const open = async (change: Partial<Pick<ClientContext, "trust">> = {}) =>
    ImageControl.open("Win11", { ...context, ...change }, silentLogger);
  return { control: await open(), answers, again: open };
}

describe("ImageControl", () => {
  it("keeps the newest record, however the answers of checks that overlap come in", async () => {
    const { control, answers, again } = await setup();
    const late = new EventEmitter();
    const lateAnswer = once(late, "sent").then(() => answerOf(1));
    answers.push(lateAnswer, answerOf(3), answerOf(2));
    const first = control.refresh(signal);
    await Promise.all([control.refresh(signal), control.refresh(signal)]);
    late.emit("sent");
    await first;
    expect(control.record.serial).toBe(3);
    expect((await again()).record.serial).toBe(3);
  });

  it("is there after a restart, unless other publishers are trusted then", async () => {
    const { control, answers, again } = await setup();
    answers.push(answerOf(3, { withdrawn: [{ version: 2 }] }));
    await control.refresh(signal);
    expect((await again()).isWithdrawn(2)).toBe(true);
    const trust = { publishers: [new Uint8Array(32)], signature: "required" } as const;
    expect((await again({ trust })).isWithdrawn(2)).toBe(false);
  });

  it("does not believe what came without TLS and without a signature", async () => {
    const { control, answers } = await setup(false);
    answers.push(answerOf(3));
    await expect(control.refresh(signal)).rejects.toMatchObject({ code: "ERR_SIGNATURE_INVALID" });
    expect(control.status()).toMatchObject({ serial: 0, problem: { code: "ERR_SIGNATURE_INVALID" } });
  });

  it("of another image is refused", async () => {
    const { control, answers } = await setup();
    answers.push(answerOf(3, { name: "Win10" }));
    await expect(control.refresh(signal)).rejects.toMatchObject({ code: "ERR_CONTROL_INVALID" });
  });
});
