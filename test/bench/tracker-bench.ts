import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { Fields, formatBytes } from "@ckmesh/core";
import { decodeFromTracker, encodeToTracker } from "@ckmesh/wire";
import { RawWebSocket } from "./raw-websocket.js";

/**
 * Announces per second and memory per idle peer of the tracker, against a bare ws server that speaks JSON.
 *   npx tsx --conditions=ckmesh-src test/bench/tracker-bench.ts [--connections 10000] [--rounds 5]
 */
const SITE_SIZE = 20;
/** Source addresses 127.0.1.1, 127.0.2.1, …: each has its own ports. */
const SOURCES = 10;
/** Handshakes under way at a time. */
const CONNECTING = 100;
/** Announces under way at a time. */
const IN_FLIGHT = 500;
const SPARE_DESCRIPTORS = 200;
const SWARM = new Uint8Array(32).fill(7);

interface Result {
  readonly connectsPerSec: number;
  readonly idleBytes: number;
  readonly announcesPerSec: number;
  readonly cpuUsPerAnnounce: number;
  readonly answerBytes: number;
}

interface Usage {
  readonly rss: number;
  readonly cpuUs: number;
}

/** What a bench client says, for each server. */
interface Speech {
  hello(n: number): Uint8Array | undefined;
  readonly announce: Uint8Array;
  /** Messages before the connection is idle. */
  readonly greetings: number;
}

const SPEECHES: Readonly<Record<"tracker" | "json", Speech>> = {
  tracker: {
    hello: (n) =>
      encodeToTracker({
        type: "hello",
        peerId: Uint8Array.from({ length: 32 }, (_, i) => (i < 4 ? (n >> (8 * i)) & 255 : 1)),
        site: `site-${Math.floor(n / SITE_SIZE)}`,
        addresses: [],
        subnets: [],
        port: 10_000 + (n % SITE_SIZE),
        peerClass: "wired",
        requires: [],
        claimRules: 1,
      }),
    announce: encodeToTracker({ type: "announce", swarm: SWARM, have: 1, rows: 1_000 }),
    greetings: 2,
  },
  json: {
    hello: () => undefined,
    announce: Buffer.from(
      JSON.stringify({
        type: "announce",
        swarm: Buffer.from(SWARM).toString("base64"),
        have: 1,
        rows: 1_000,
      }),
    ),
    greetings: 0,
  },
};

class Server {
  readonly #child: ChildProcess;

  constructor(kind: "tracker" | "json") {
    const file = new URL("tracker-bench-server.ts", import.meta.url).pathname;
    this.#child = spawn(process.execPath, ["--expose-gc", ...process.execArgv, file, kind], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
  }

  async port(): Promise<number> {
    return (await this.#next()).int("port", 1, 65_535);
  }

  async usage(): Promise<Usage> {
    this.#child.send("usage");
    const fields = await this.#next();
    const most = Number.MAX_SAFE_INTEGER;
    return { rss: fields.int("rss", 0, most), cpuUs: fields.int("cpuUs", 0, most) };
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.disconnect();
    await gone;
  }

  async #next(): Promise<Fields> {
    const [message]: unknown[] = await once(this.#child, "message");
    return new Fields(message, "usage");
  }
}

async function measure(kind: "tracker" | "json", connections: number, rounds: number): Promise<Result> {
  const speech = SPEECHES[kind];
  const server = new Server(kind);
  const clients: RawWebSocket[] = [];
  let heard = 0;
  let heardBytes = 0;
  let onHeard = nothing;
  try {
    const port = await server.port();
    const before = await server.usage();
    const startedAt = performance.now();
    const connectOne = async (n: number): Promise<void> => {
      const source = `127.0.${1 + (n % SOURCES)}.1`;
      const client = await RawWebSocket.open(port, source, (_client, payload) => {
        heard += 1;
        heardBytes += payload.length;
        onHeard();
      });
      const hello = speech.hello(n);
      if (hello !== undefined) client.send(hello);
      clients[n] = client;
    };
    await inParallel(connections, CONNECTING, connectOne);
    const until = (count: number): Promise<void> =>
      new Promise((resolve) => {
        onHeard = () => {
          if (heard >= count) resolve();
        };
        onHeard();
      });
    await until(connections * speech.greetings);
    const connectSeconds = (performance.now() - startedAt) / 1000;
    const idle = await server.usage();

    // The first round joins everybody to the swarms; joins are pushed to others, so let that settle.
    heard = 0;
    for (const client of clients) client.send(speech.announce);
    await until(connections);
    await quiet(() => heard);

    const cpuBefore = (await server.usage()).cpuUs;
    heard = 0;
    heardBytes = 0;
    const from = performance.now();
    const total = connections * rounds;
    let sent = 0;
    await new Promise<void>((resolve) => {
      onHeard = () => {
        while (sent < total && sent - heard < IN_FLIGHT) {
          clients[sent % connections]?.send(speech.announce);
          sent += 1;
        }
        if (heard >= total) resolve();
      };
      onHeard();
    });
    const seconds = (performance.now() - from) / 1000;
    const cpuUs = (await server.usage()).cpuUs - cpuBefore;
    return {
      connectsPerSec: connections / connectSeconds,
      idleBytes: (idle.rss - before.rss) / connections,
      announcesPerSec: total / seconds,
      cpuUsPerAnnounce: cpuUs / total,
      answerBytes: heardBytes / total,
    };
  } finally {
    for (const client of clients) client.close();
    await server.close();
  }
}

const nothing = (): void => {};

async function inParallel(count: number, width: number, run: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      // oxlint-disable-next-line no-await-in-loop -- each worker takes one after the other
      await run(next - 1);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** Waits until `count` has stood still for 1.5 s. */
async function quiet(count: () => number): Promise<void> {
  for (let last = -1; last !== count(); ) {
    last = count();
    // oxlint-disable-next-line no-await-in-loop -- a wait
    await new Promise((resolve) => setTimeout(resolve, 1_500));
  }
}

/** One real exchange, so that figures of a tracker that refuses everybody are never printed. */
async function probe(): Promise<void> {
  const server = new Server("tracker");
  try {
    const types: string[] = [];
    const port = await server.port();
    await new Promise<void>((resolve, reject) => {
      const speech = SPEECHES.tracker;
      const hear = (client: RawWebSocket, payload: Buffer): void => {
        const { type } = decodeFromTracker(payload);
        types.push(type);
        const hello = speech.hello(1);
        if (type === "challenge" && hello !== undefined) client.send(hello);
        if (type === "welcome") client.send(speech.announce);
        if (type === "peers") resolve();
        if (type === "refused") reject(new Error(`the tracker answered ${types.join(", ")}`));
      };
      RawWebSocket.open(port, "127.0.1.1", hear).catch(reject);
    });
  } finally {
    await server.close();
  }
}

const { values } = parseArgs({
  options: {
    connections: { type: "string", default: "10000" },
    rounds: { type: "string", default: "5" },
  },
});
const hardLimit = Number(execFileSync("sh", ["-c", "ulimit -Hn"], { encoding: "utf8" }));
const mostConnections = Number.isFinite(hardLimit) ? hardLimit - SPARE_DESCRIPTORS : Number.POSITIVE_INFINITY;
const connections = Math.min(Number(values.connections), mostConnections);
const print = (line: string): boolean => process.stdout.write(`${line}\n`);
if (connections < Number(values.connections))
  print(`only ${connections} connections: descriptors (ulimit -n)`);
await probe();
print(
  `tracker against "ws + JSON": ${connections} connections, sites of ${SITE_SIZE}, ${values.rounds} rounds`,
);
print(`load average at the start ${loadavg()[0]?.toFixed(1)}; servers and clients share the machine`);
print("");
print("server       connects/s  idle peer  announces/s  CPU/announce  answer");
const results: Result[] = [];
for (const kind of ["json", "tracker"] as const) {
  // oxlint-disable-next-line no-await-in-loop -- one at a time, or they measure each other
  const r = await measure(kind, connections, Number(values.rounds));
  results.push(r);
  const cells = [
    (kind === "json" ? "ws + JSON" : "tracker").padEnd(12),
    r.connectsPerSec.toFixed(0).padStart(10),
    formatBytes(Math.round(r.idleBytes)).padStart(10),
    r.announcesPerSec.toFixed(0).padStart(12),
    `${r.cpuUsPerAnnounce.toFixed(1)} µs`.padStart(13),
    `${r.answerBytes.toFixed(0)} B`.padStart(7),
  ];
  print(cells.join(" "));
}
const [json, tracker] = results;
if (json !== undefined && tracker !== undefined) {
  print("");
  print(
    `ratio tracker / ws + JSON: announces/s ${(tracker.announcesPerSec / json.announcesPerSec).toFixed(2)}, CPU per announce ${(tracker.cpuUsPerAnnounce / json.cpuUsPerAnnounce).toFixed(2)}, memory of an idle peer ${(tracker.idleBytes / json.idleBytes).toFixed(2)}`,
  );
}
