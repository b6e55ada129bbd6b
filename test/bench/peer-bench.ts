/**
 * Throughput of one peer link on loopback, seeder and receiver in processes of their own, against a bare
 * TLS 1.3 PSK stream of the same run. No disk, no hashing.
 *   npx tsx --conditions=ckmesh-src test/bench/peer-bench.ts [MiB per case, default 1024]
 */
import { type ChildProcess, fork } from "node:child_process";
import { connect, createServer } from "node:tls";
import { silentLogger } from "@ckmesh/core";
import { Identity, type PeerLink, PeerTransport } from "@ckmesh/net";
import { cryptoRandom, systemClock } from "@ckmesh/runtime";

const MIB = 1024 * 1024;
const ROW_BYTES = 64 * 1024;
/** In flight, as the store would have it. */
const WINDOW_BYTES = 4 * MIB;
const keys = {
  versionId: new Uint8Array(32).fill(1),
  psk: new Uint8Array(32).fill(2),
  swarm: new Uint8Array(32).fill(3),
};
const layout = {
  rows: 100_000,
  rowsLength: (_: number, length: number) => (length % ROW_BYTES === 0 ? length / ROW_BYTES : undefined),
};
const tls = {
  minVersion: "TLSv1.3",
  ciphers: "TLS_AES_128_GCM_SHA256",
} as const;

function transport(isListening: boolean): PeerTransport {
  return new PeerTransport({
    identity: Identity.generate(),
    ...(isListening ? { listen: { host: "127.0.0.1", port: 0 } } : {}),
    allowLoopback: true,
    peerClass: "wired",
    clock: systemClock,
    random: cryptoRandom,
    logger: silentLogger,
  });
}

/** Child: serves links and bare streams until its parent goes. */
async function seed(): Promise<void> {
  const block = Buffer.alloc(MIB, "ckmesh");
  const seeder = transport(true);
  const { port } = await seeder.listen();
  seeder.addSwarm({
    ...keys,
    layout,
    onPeer(link) {
      link.start({
        message(m) {
          if (m.type === "request")
            link.send({ type: "piece", row: m.row, bytes: block.subarray(0, m.length) });
        },
        closed: () => {},
        drained: () => {},
      });
      link.send({ type: "unchoke" });
    },
  });
  const bare = createServer({ ...tls, pskCallback: () => keys.psk }, (socket) => {
    const more = (): void => {
      while (!socket.destroyed && socket.write(block));
    };
    socket.on("drain", more).on("error", () => {});
    more();
  });
  bare.listen(0, "127.0.0.1", () => {
    const address = bare.address();
    process.send?.([port, typeof address === "object" ? address?.port : 0]);
  });
  process.once("disconnect", () => process.exit(0));
}

interface Result {
  readonly mibPerSec: number;
  readonly cpuPerGib: number;
}

async function timed(totalBytes: number, run: () => Promise<void>): Promise<Result> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  await run();
  const seconds = (performance.now() - start) / 1000;
  const used = process.cpuUsage(cpu);
  return {
    mibPerSec: totalBytes / MIB / seconds,
    cpuPerGib: (used.user + used.system) / 1e6 / (totalBytes / MIB / 1024),
  };
}

async function bareStream(port: number, totalBytes: number): Promise<Result> {
  const socket = connect({
    ...tls,
    port,
    host: "127.0.0.1",
    ca: [],
    checkServerIdentity: () => undefined,
    pskCallback: () => ({ psk: keys.psk, identity: "bench" }),
  });
  const result = await timed(totalBytes, async () => {
    let got = 0;
    await new Promise<void>((resolve) => {
      socket.on("data", (part) => {
        got += part.byteLength;
        if (got >= totalBytes) resolve();
      });
    });
  });
  socket.destroy();
  return result;
}

/** The receiving end: asks for the next piece whenever one has come. */
class Receiver {
  readonly #requestBytes: number;
  readonly #totalBytes: number;
  readonly #unchoked: (link: PeerLink) => void;
  #row = 0;
  #got = 0;
  #done: () => void = unreachable;

  constructor(requestBytes: number, totalBytes: number, unchoked: (link: PeerLink) => void) {
    this.#requestBytes = requestBytes;
    this.#totalBytes = totalBytes;
    this.#unchoked = unchoked;
  }

  up(link: PeerLink): void {
    link.start({
      message: (m) => {
        if (m.type === "unchoke") this.#unchoked(link);
        else if (m.type === "piece") this.#take(link, m.bytes.byteLength);
      },
      closed: () => {},
      drained: () => {},
    });
  }

  async run(link: PeerLink): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#done = resolve;
      for (let asked = 0; asked < WINDOW_BYTES; asked += this.#requestBytes) this.#ask(link);
    });
  }

  #ask(link: PeerLink): void {
    link.send({ type: "request", row: this.#row % 90_000, length: this.#requestBytes });
    this.#row += this.#requestBytes / ROW_BYTES;
  }

  #take(link: PeerLink, length: number): void {
    this.#got += length;
    if (this.#got >= this.#totalBytes) this.#done();
    else this.#ask(link);
  }
}

function unreachable(): never {
  throw new Error("unreachable: piece before run");
}

async function pieces(port: number, totalBytes: number, requestBytes: number): Promise<Result> {
  const client = transport(false);
  const result = await new Promise<Result>((resolve, reject) => {
    const receiver = new Receiver(requestBytes, totalBytes, (link) => {
      timed(totalBytes, () => receiver.run(link)).then(resolve, reject);
    });
    const swarm = client.addSwarm({ ...keys, layout, onPeer: (link) => receiver.up(link) });
    swarm.dial({ address: "127.0.0.1", port }, new AbortController().signal).catch(reject);
  });
  await client.close();
  return result;
}

async function measure(totalBytes: number): Promise<void> {
  const child: ChildProcess = fork(new URL(import.meta.url).pathname, ["seed"], {
    execArgv: process.execArgv,
  });
  const ports = await new Promise<unknown>((resolve) => {
    child.once("message", resolve);
  });
  const [port, barePort] = Array.isArray(ports) ? ports.map(Number) : [];
  const bare = await bareStream(barePort ?? 0, totalBytes);
  say(
    `bare TLS 1.3 PSK   ${bare.mibPerSec.toFixed(0)} MiB/s, receiver ${bare.cpuPerGib.toFixed(2)} CPU s/GiB`,
  );
  for (const requestBytes of [64 * 1024, 256 * 1024, MIB]) {
    const link = await pieces(port ?? 0, totalBytes, requestBytes);
    const ratio = (link.mibPerSec / bare.mibPerSec).toFixed(2);
    say(
      `link, ${String(requestBytes / 1024).padStart(4)} KiB     ${link.mibPerSec.toFixed(0)} MiB/s, receiver ${link.cpuPerGib.toFixed(2)} CPU s/GiB, ${ratio}x of bare`,
    );
  }
  child.disconnect();
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

if (process.argv[2] === "seed") await seed();
else await measure(Number(process.argv[2] ?? 1024) * MIB);
