import { execFile } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import type { RunningClient, VersionStatus } from "@ckmesh/client";
import { type AppError, silentLogger } from "@ckmesh/core";
import { OriginHttp } from "@ckmesh/net";
import { systemClock } from "@ckmesh/runtime";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { makePair } from "../../packages/origin/test/make-pair.js";
import { eventually, startTestOrigin, type TestOrigin } from "../../packages/origin/test/origin-fixture.js";
import { Fixture, versionOf } from "./client-fixture.js";

/** 16 MiB: far more than the buffers of a connection whose client does not read. */
const PAIR = makePair({ name: "large", version: 1, frames: 256 });
const PACK = "/MEDVImages/large_1.ckm";
const MIB = 1024 * 1024;
const curl = promisify(execFile);

async function start(limits: Readonly<Record<string, unknown>>): Promise<TestOrigin> {
  const origin = await startTestOrigin({ pairs: [PAIR], flags: limits });
  await origin.published("large", 1);
  return origin;
}

/** A request for the whole pack from a loopback address of choice; nothing of the answer is read yet. */
async function take(origin: TestOrigin, localAddress: string, headers = ""): Promise<Socket> {
  const { hostname: host, port } = new URL(origin.origin.urls[0] ?? "");
  const socket = connect({ host, port: Number(port), localAddress });
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  await once(socket, "connect");
  socket.write(`GET ${PACK} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`);
  return socket;
}

async function statusOf(socket: Socket): Promise<{ status: number; retryAfter: number }> {
  const [bytes]: Buffer[] = await once(socket, "data");
  socket.pause();
  const head = bytes?.toString("latin1") ?? "";
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]),
    retryAfter: Number(/retry-after: (\d+)/i.exec(head)?.[1]),
  };
}

/** What Prometheus reads of a metric. */
async function metric(origin: TestOrigin, name: string): Promise<number> {
  const text = (await origin.get("/metrics")).body.toString();
  return Number(
    text
      .split("\n")
      .find((line) => line.startsWith(`${name} `))
      ?.split(" ")[1] ?? 0,
  );
}

function client(origin: TestOrigin, site: string): OriginHttp {
  const http = new OriginHttp({
    baseUrl: origin.origin.urls[0] ?? "",
    logger: silentLogger,
    clock: systemClock,
    site: () => site,
  });
  onTestFinished(() => http.close());
  return http;
}

async function fetchMib(http: OriginHttp, at: number): Promise<number> {
  let bytes = 0;
  const onData = (part: Uint8Array): void => void (bytes += part.byteLength);
  await http.fetchRange("large_1.ckm", { first: at * MIB, last: (at + 1) * MIB - 1, span: at, onData });
  return bytes;
}

function found(running: RunningClient): VersionStatus {
  return versionOf(running.status(), 1, "large");
}

describe("an origin whose places one site would like to have all", () => {
  it("serves the other sites at once, and the greedy one within its share", async () => {
    const origin = await start({
      "limits.maxTransfers": 12,
      "limits.maxWaitingPerSite": 8,
      "limits.transferWaitMs": 60_000,
    });
    await Promise.all(Array.from({ length: 50 }, () => take(origin, "127.0.0.9")));
    await eventually(async () => (await metric(origin, "ckmesh_origin_transfers_waiting")) === 8);
    const held = await metric(origin, "ckmesh_origin_transfers");
    expect(held).toBeGreaterThanOrEqual(1);
    expect(held).toBeLessThanOrEqual(6);

    const north = client(origin, "north");
    const ours = Promise.all([0, 1, 2, 3, 4, 5].map((at) => fetchMib(north, at)));
    const url = `${origin.origin.urls[0]}/large_1.ckm`;
    const foreign = curl("curl", ["-sf", "--interface", "127.0.0.3", "-r", "0-1048575", url], {
      encoding: "buffer",
      maxBuffer: 2 * MIB,
    });
    expect(await ours).toEqual(Array(6).fill(MIB));
    expect((await foreign).stdout.byteLength).toBe(MIB);

    expect(await metric(origin, 'ckmesh_origin_transfers_refused_total{reason="site"}')).toBe(50 - held - 8);
    expect(await metric(origin, "ckmesh_origin_transfers")).toBe(held);
  }, 30_000);

  it("answers heads without a turn", async () => {
    const origin = await start({ "limits.maxTransfers": 1, "limits.maxWaitingPerSite": 0 });
    const holder = await take(origin, "127.0.0.2");
    expect((await statusOf(holder)).status).toBe(200);
    const http = client(origin, "south");
    expect(await http.fetchHead("large.ckm.index")).toMatchObject({ status: "found" });
    expect((await origin.get("/ckmesh/catalogue")).status).toBe(200);
    await expect(fetchMib(http, 0)).rejects.toMatchObject({
      code: "ERR_RATE_LIMITED",
    } satisfies Partial<AppError>);
  });
});

describe("a branch that meets an origin without a place", () => {
  it("waits as it is told, and takes one copy then", async () => {
    const origin = await start({ "limits.maxTransfers": 1, "limits.maxWaitingPerSite": 0 });
    const holder = await take(origin, "127.0.0.2");
    expect((await statusOf(holder)).status).toBe(200);
    const fixture = await Fixture.create();
    onTestFinished(() => fixture.close());
    const clients: RunningClient[] = [];
    for (const store of ["a", "b", "c"]) {
      const [first] = clients;
      if (first !== undefined) await fixture.remember(store, first.peerPort);
      const config = { origin: origin.origin.urls[0] ?? "", images: ["large"], once: false };
      clients.push(await fixture.client(store, { ...config, allowOpenSwarm: true }));
    }
    const refused = (): Promise<number> =>
      metric(origin, 'ckmesh_origin_transfers_refused_total{reason="full"}');
    await eventually(async () => (await refused()) > 0);
    holder.destroy();
    await vi.waitFor(() => expect(clients.map((c) => found(c).state)).toEqual(Array(3).fill("active")), {
      timeout: 40_000,
      interval: 50,
    });
    const fromOrigin = clients.reduce((sum, c) => sum + found(c).bytes.origin, 0);
    expect(fromOrigin / PAIR.pack.length).toBeLessThan(1.1);
    expect(await refused()).toBeLessThanOrEqual(6);
  }, 60_000);
});

describe("a turn at the origin", () => {
  const LIMITS = { "limits.maxTransfers": 2, "limits.maxWaitingPerSite": 4, "limits.transferWaitMs": 60_000 };

  it("is given back by a client that goes away while it waits or while it reads", async () => {
    const origin = await start(LIMITS);
    const holder = await take(origin, "127.0.0.2");
    expect((await statusOf(holder)).status).toBe(200);
    const waiting = await Promise.all([1, 2, 3].map(() => take(origin, "127.0.0.2")));
    await eventually(async () => (await metric(origin, "ckmesh_origin_transfers_waiting")) === 3);
    waiting[1]?.destroy();
    await eventually(async () => (await metric(origin, "ckmesh_origin_transfers_waiting")) === 2);
    holder.destroy();
    expect((await statusOf(waiting[0] ?? holder)).status).toBe(200);
    waiting[0]?.destroy();
    expect((await statusOf(waiting[2] ?? holder)).status).toBe(200);
    waiting[2]?.destroy();
    await eventually(async () => (await metric(origin, "ckmesh_origin_transfers")) === 0);
    expect(await metric(origin, "ckmesh_origin_transfers_waiting")).toBe(0);
  });

  it("is not waited for longer than allowed: 429 for who has a share, 503 for who meets a full origin", async () => {
    const origin = await start({ ...LIMITS, "limits.transferWaitMs": 50 });
    const holder = await take(origin, "127.0.0.2");
    expect((await statusOf(holder)).status).toBe(200);
    const second = await statusOf(await take(origin, "127.0.0.2"));
    expect(second.status).toBe(429);
    expect((await statusOf(await take(origin, "127.0.0.3"))).status).toBe(200);
    const third = await statusOf(await take(origin, "127.0.0.4"));
    expect(third.status).toBe(503);
    for (const { retryAfter } of [second, third]) {
      expect(retryAfter).toBeGreaterThanOrEqual(2);
      expect(retryAfter).toBeLessThanOrEqual(6);
    }
  });

  it("counts machines of one label as one site, and one machine with many labels as one too", async () => {
    const origin = await start({ ...LIMITS, "limits.maxTransfers": 4, "limits.transferWaitMs": 0 });
    const statuses = async (of: readonly [address: string, label: string][]): Promise<number[]> => {
      const out: number[] = [];
      for (const [address, label] of of) {
        const socket = await take(origin, address, `X-Ckmesh-Site: ${label}\r\n`);
        out.push((await statusOf(socket)).status);
      }
      return out;
    };
    expect(
      await statuses([
        ["127.0.0.2", "north"],
        ["127.0.0.3", "north"],
        ["127.0.0.4", "north"],
      ]),
    ).toEqual([200, 200, 429]);
    expect(
      await statuses([
        ["127.0.0.5", "south"],
        ["127.0.0.5", "west"],
      ]),
    ).toEqual([200, 429]);
  });

  it("does not depend on headers that make no sense, and these are not logged", async () => {
    const origin = await start({});
    const hostile = ["%", "%E0%A4%A", "x".repeat(5000), "%0a%0d", "%20north", "", "a, b".repeat(400)];
    for (const site of hostile) {
      const headers = { "x-ckmesh-site": site, "x-ckmesh-span": "-1", range: "bytes=0-99999" };
      expect((await origin.get(PACK, headers)).status).toBe(206);
    }
    for (const span of ["1e3", "99999999999", "8388608", " ", "0x1"])
      expect((await origin.get(PACK, { "x-ckmesh-span": span, range: "bytes=0-99999" })).status).toBe(206);
    await origin.origin.close();
    const folder = join(origin.state, "logs");
    const lines = readdirSync(folder).flatMap((f) =>
      readFileSync(join(folder, f), "utf8").trim().split("\n"),
    );
    const ranges = lines.filter((line) => line.includes(`GET ${PACK}`));
    expect(ranges).toHaveLength(hostile.length + 5);
    for (const line of ranges) expect(line).toMatch(/ - -$/);
  });
});
