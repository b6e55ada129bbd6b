import { AppError, MIB, type Run, rowBlocks, seededRandom, silentLogger } from "@ckmesh/core";
import type { PeerLink } from "@ckmesh/net";
import type { VersionFiles } from "@ckmesh/store";
import { WanPacer } from "@ckmesh/swarm";
import { VirtualClock } from "@ckmesh/testkit";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SamplePair } from "../../../store/test/sample-pair.js";
import type { OriginRows } from "../../src/rows/origin-rows.js";
import { VersionSwarm, type VersionSwarmOptions } from "../../src/version/version-swarm.js";
import { Waste } from "../../src/version/waste.js";
import { FakeLink } from "../fake-link.js";

describe("swarm of one version", () => {
  let pair: SamplePair;
  let files: VersionFiles;
  let clock: VirtualClock;
  let swarm: VersionSwarm;
  let waste: Waste;
  let meet: (link: PeerLink) => void;
  let originBytes: number;
  const faults: AppError[] = [];
  let isComplete: boolean;

  beforeEach(async () => {
    pair = await SamplePair.create(4);
    files = await pair.open();
    clock = new VirtualClock();
    waste = new Waste();
    originBytes = 0;
    faults.length = 0;
    isComplete = false;
  });
  afterEach(async () => {
    await swarm.close();
    await files.close();
    await pair.close();
  });

  /** The origin in memory; `isAway`: refuses every request. */
  const originRows = (isAway: boolean): Pick<OriginRows, "fetch"> => ({
    fetch: async ({ run, onData }) => {
      if (isAway) throw new AppError("ERR_ORIGIN_UNREACHABLE", "away");
      const bytes = pair.bytes(files, run);
      for (let at = 0; at < bytes.length; at += 10_000) await onData(bytes.subarray(at, at + 10_000));
      originBytes += bytes.length;
    },
  });

  const start = (options: Partial<VersionSwarmOptions> & { isAway?: boolean } = {}): void => {
    swarm = new VersionSwarm({
      files,
      rows: originRows(options.isAway ?? false),
      waste,
      peerId: "00".repeat(32),
      peerClass: "wired",
      peerPort: 7650,
      allowLoopback: true,
      identity: { publicKey: new Uint8Array(32), sign: () => new Uint8Array(64) },
      join: (onPeer) => {
        meet = onPeer;
        return { dial: () => Promise.resolve(), close: () => Promise.resolve() };
      },
      clock,
      random: seededRandom(1),
      logger: silentLogger,
      indexCarry: undefined,
      holdsOlder: false,
      planLocal: () => Promise.resolve({ rows: files.have.clone(), copy: () => Promise.resolve() }),
      onProgress: () => {},
      onComplete: () => {
        isComplete = true;
      },
      onFault: (err) => void faults.push(err),
      onOriginError: () => {},
      onPeerLinked: () => {},
      ...options,
    });
    swarm.start();
  };

  /** Lets virtual time and real files go on until `check` holds. */
  const until = async (check: () => boolean): Promise<void> => {
    await vi.waitFor(
      () => {
        clock.advance(20);
        if (!check()) throw new Error("not yet");
      },
      { timeout: 15_000, interval: 1 },
    );
  };

  /** A peer that has everything and answers each request by `bytesOf`. */
  const seeder = (bytesOf: (run: Run) => Uint8Array): FakeLink => {
    const link = new FakeLink("11".repeat(32));
    link.onSent = (message) => {
      if (message.type === "interested") link.say({ type: "unchoke" });
      if (message.type !== "request") return;
      const count = files.table.rowsIn(message.row, message.length) ?? 1;
      link.say({ type: "piece", row: message.row, bytes: bytesOf({ first: message.row, count }) });
    };
    return link;
  };

  const meetSeeder = (link: FakeLink): void => {
    meet(link);
    link.say({ type: "have-all" });
  };

  it("takes nothing from the origin while the WAN is closed, goes on when it opens, and times first bytes", async () => {
    const pacer = new WanPacer({ type: "yield" });
    const samples = vi.spyOn(pacer, "firstByte");
    const listeners: ((isOpen: boolean) => void)[] = [];
    const subscribe = (listener: (isOpen: boolean) => void): (() => void) => {
      listeners.push(listener);
      return () => {};
    };
    start({ wan: { pacer, isOpen: false, subscribe } });
    clock.advance(60_000);
    expect(originBytes).toBe(0);
    listeners[0]?.(true);
    await until(() => isComplete);
    expect(originBytes).toBe(files.bytes.origin);
    expect(samples).toHaveBeenCalled();
  });

  it("completes from a peer alone while the origin is away", async () => {
    start({ isAway: true });
    meetSeeder(seeder((run) => pair.bytes(files, run)));
    await until(() => isComplete);
    expect(files.have.isFull).toBe(true);
    expect(files.bytes).toMatchObject({ origin: 0, previous: 0 });
    await files.finish();
  });

  it("stores nothing of a peer that lies, tells it, shuts it out, and completes from the origin", async () => {
    start();
    const liar = seeder((run) => new Uint8Array(pair.bytes(files, run).length).fill(0xee));
    meetSeeder(liar);
    await until(() => isComplete);
    expect(liar.sent.some((m) => m.type === "bad-rows")).toBe(true);
    expect(liar.closedFor).toBe("banned");
    expect(waste.bytes.rejected).toBeGreaterThan(0);
    expect(waste.bytes.origin).toBe(0);
    expect(files.bytes.origin).toBe(originBytes);
    await files.finish();
  });

  it("takes from the origin what a silent peer does not send", async () => {
    start();
    const silent = new FakeLink("22".repeat(32));
    meet(silent);
    silent.say({ type: "have-all" });
    silent.say({ type: "unchoke" });
    await until(() => isComplete);
    expect(files.bytes.peers).toBe(0);
  });

  it("serves the rows that it holds, and reports an upload only when the link has drained", async () => {
    await pair.fill(files);
    start({ isAway: true });
    const link = new FakeLink("33".repeat(32));
    link.queuedBytes = 10_000_000;
    meet(link);
    link.say({ type: "have-none" });
    link.say({ type: "interested" });
    await until(() => link.sent.some((m) => m.type === "unchoke"));
    const row = files.table.layout.pieceRows + 2;
    for (let i = 0; i < 6; i++)
      link.say({ type: "request", row: row + i, length: files.table.length(row + i) });
    await until(() => link.sent.some((m) => m.type === "piece"));
    const pieces = (): number => link.sent.filter((m) => m.type === "piece").length;
    expect(pieces()).toBeLessThan(6);
    link.onSent = () => {
      link.drain();
    };
    link.drain();
    await until(() => pieces() === 6);
    const first = link.sent.find((m) => m.type === "piece" && m.row === row);
    expect(first).toEqual({
      type: "piece",
      row,
      bytes: Buffer.from(pair.bytes(files, { first: row, count: 1 })),
    });
  });

  it("hashes rows again when a peer says they are bad, but not without limit", async () => {
    await pair.fill(files);
    start({ isAway: true });
    const link = new FakeLink("44".repeat(32));
    meet(link);
    const recheck = vi.spyOn(files, "recheck");
    for (let i = 0; i < 200; i++) link.say({ type: "bad-rows", runs: [{ first: 0, count: 10 }] });
    await until(() => recheck.mock.calls.length > 0);
    expect(recheck.mock.calls.length).toBeLessThanOrEqual(25);
    expect(files.have.isFull).toBe(true);
  });

  it("gives the memory of an answer back when its rows are on the disk, and not before", async () => {
    start({ isAway: true });
    const writes: (() => void)[] = [];
    const write = files.write.bind(files);
    vi.spyOn(files, "write").mockImplementation(async (...args) => {
      await new Promise<void>((resolve) => void writes.push(resolve));
      await write(...args);
    });
    const blocks = new Map<ArrayBufferLike, Run>();
    const overwritten: Run[] = [];
    meetSeeder(
      seeder((run) => {
        const bytes = pair.bytes(files, run);
        const block = rowBlocks.take(MIB);
        const before = blocks.get(block.buffer);
        if (before !== undefined && !files.have.hasAll(before.first, before.count)) overwritten.push(before);
        blocks.set(block.buffer, run);
        block.set(bytes);
        return block.subarray(0, bytes.length);
      }),
    );
    await until(() => writes.length > 0);
    const unwritten = new Set(blocks.keys());
    const meanwhile = Array.from({ length: 8 }, () => rowBlocks.take(MIB).buffer);
    expect(meanwhile.some((block) => unwritten.has(block))).toBe(false);
    await until(() => {
      for (const resolve of writes.splice(0)) resolve();
      return isComplete;
    });
    expect(overwritten).toEqual([]);
    expect(blocks.has(rowBlocks.take(MIB).buffer)).toBe(true);
    await files.finish();
  });

  it("reports a full disk as a fault and not as the peer's", async () => {
    start({ isAway: true });
    vi.spyOn(files, "write").mockRejectedValue(new AppError("ERR_STORE_FULL", "full"));
    const link = seeder((run) => pair.bytes(files, run));
    meetSeeder(link);
    await until(() => faults.length > 0);
    expect(faults[0]?.code).toBe("ERR_STORE_FULL");
    expect(waste.bytes.rejected).toBe(0);
  });
});
