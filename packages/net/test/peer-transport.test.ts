import { randomBytes } from "node:crypto";
import { connect as connectTcp, createServer as createTcpServer, type Server } from "node:net";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { type AppError, silentLogger, toHex } from "@ckmesh/core";
import type { PeerMessage } from "@ckmesh/wire";
import { afterEach, describe, expect, it } from "vitest";
import { Identity } from "../src/identity.js";
import type { PeerLink } from "../src/peer-link.js";
import { dialPsk, PSK_CIPHERS } from "../src/peer-tls.js";
import { PeerTransport, type PeerTransportOptions, type SwarmEndpoint } from "../src/peer-transport.js";
import { Recorder } from "./link-fixtures.js";
import { testCertificate } from "./test-certificate.js";
import { eventually, realClock, realRandom } from "./test-clock.js";

const KIB = 1024;
const keys = { versionId: randomBytes(32), psk: randomBytes(32), swarm: randomBytes(32) };
const identity = toHex(keys.swarm);
const layout = {
  rows: 4096,
  rowsLength: (_: number, length: number) => (length % (64 * KIB) === 0 ? length / (64 * KIB) : undefined),
};
const forever = new AbortController().signal;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

interface Node {
  readonly transport: PeerTransport;
  readonly swarm: SwarmEndpoint;
  readonly port: number;
  readonly identity: Identity;
  readonly links: PeerLink[];
  readonly recorder: Recorder;
}

async function node(
  options: Partial<PeerTransportOptions> & { readonly keys?: typeof keys } = {},
): Promise<Node> {
  const self = options.identity ?? Identity.generate();
  const transport = new PeerTransport({
    identity: self,
    listen: { host: "127.0.0.1", port: 0 },
    allowLoopback: true,
    peerClass: "wired",
    clock: realClock,
    random: realRandom,
    logger: silentLogger,
    ...options,
  });
  cleanups.push(() => transport.close());
  const { port } = await transport.listen();
  const links: PeerLink[] = [];
  const recorder = new Recorder();
  const swarm = transport.addSwarm({
    ...(options.keys ?? keys),
    layout,
    onPeer(link) {
      links.push(link);
      link.start(recorder);
    },
  });
  return { transport, swarm, port, identity: self, links, recorder };
}

const at = (port: number): { address: string; port: number } => ({ address: "127.0.0.1", port });

/** The code a promise rejects with. */
async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "resolved",
    (err: AppError) => err.code,
  );
}

describe("PeerTransport", () => {
  it("links two clients of a swarm both ways, with proven identity and a round trip", async () => {
    const [a, b] = [await node(), await node({ peerClass: "wifi" })];
    await a.swarm.dial(at(b.port), forever);
    await eventually(() => expect(b.links.length).toBe(1));
    expect(a.links[0]).toMatchObject({
      peerId: b.identity.peerIdHex,
      address: "127.0.0.1",
      port: b.port,
      inbound: false,
      peerClass: "wifi",
    });
    expect(b.links[0]).toMatchObject({ peerId: a.identity.peerIdHex, port: a.port, inbound: true });
    expect(a.links[0]?.rttMs).toBeGreaterThan(0);
    expect(a.links[0]?.rttMs).toBeLessThan(1000);
  });

  it("moves pieces of 1 MiB unharmed", async () => {
    const [a, b] = [await node(), await node()];
    const content = randomBytes(64 * KIB * 64);
    b.recorder.react = (m: PeerMessage) => {
      if (m.type !== "request") return;
      const from = m.row * 64 * KIB;
      b.links[0]?.send({ type: "piece", row: m.row, bytes: content.subarray(from, from + m.length) });
    };
    await a.swarm.dial(at(b.port), forever);
    await eventually(() => expect(b.links.length).toBe(1));
    b.links[0]?.send({ type: "unchoke" });
    await eventually(() => expect(a.recorder.types).toEqual(["unchoke"]));
    for (let row = 0; row < 64; row += 16) a.links[0]?.send({ type: "request", row, length: 1024 * KIB });
    await eventually(() => expect(a.recorder.messages.length).toBe(5));
    const received = a.recorder.messages.flatMap((m) => (m.type === "piece" ? [m.bytes] : []));
    expect(Buffer.concat(received).equals(content)).toBe(true);
  });

  it("serves several swarms on one port and links each version with its own", async () => {
    const other = { versionId: randomBytes(32), psk: randomBytes(32), swarm: randomBytes(32) };
    const [a, b] = [await node(), await node({ keys: other })];
    const links: PeerLink[] = [];
    b.transport.addSwarm({ ...keys, layout, onPeer: (link) => links.push(link) });
    await a.swarm.dial(at(b.port), forever);
    await eventually(() => expect(links.length).toBe(1));
    expect(b.links).toEqual([]);
  });

  it("lets nobody in any more once a swarm is closed", async () => {
    const [a, b] = [await node(), await node()];
    await a.swarm.dial(at(b.port), forever);
    await b.swarm.close();
    await eventually(() => expect(a.recorder.closings).toEqual([undefined]));
    expect(await codeOf(a.swarm.dial(at(b.port), forever))).toBe("ERR_PEER_REFUSED");
  });

  it("recognises itself", async () => {
    const a = await node();
    await expect(a.swarm.dial(at(a.port), forever)).rejects.toMatchObject({
      code: "ERR_PEER_REFUSED",
      details: { isSelf: true },
    });
    expect(a.links).toEqual([]);
  });

  it("stops reading while paused and goes on after", async () => {
    const [a, b] = [await node(), await node()];
    await a.swarm.dial(at(b.port), forever);
    await eventually(() => expect(b.links.length).toBe(1));
    a.links[0]?.pause();
    b.links[0]?.send({ type: "have-all" });
    b.links[0]?.send({ type: "unchoke" });
    await eventually(() => expect(b.links[0]?.queuedBytes).toBe(0));
    expect(a.recorder.types).toEqual([]);
    a.links[0]?.resume();
    await eventually(() => expect(a.recorder.types).toEqual(["have-all", "unchoke"]));
  });

  it("says who uses its port", async () => {
    const a = await node();
    await expect(node({ listen: { host: "127.0.0.1", port: a.port } })).rejects.toMatchObject({
      code: "ERR_ADDRESS_IN_USE",
    });
  });

  it.each(["localhost", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "10.0.0.1 "])(
    "does not dial %s",
    async (address) => {
      const a = await node();
      expect(await codeOf(a.swarm.dial({ address, port: 7650 }, forever))).toBe("ERR_PEER_REFUSED");
    },
  );

  it("does not dial this machine unless allowed", async () => {
    const [a, b] = [await node({ allowLoopback: false }), await node()];
    expect(await codeOf(a.swarm.dial(at(b.port), forever))).toBe("ERR_PEER_REFUSED");
  });

  it("rejects a dial that is aborted, and one to a port where nobody listens", async () => {
    const a = await node();
    const silent = await tcpServer(() => {});
    const abort = new AbortController();
    const dial = a.swarm.dial(at(silent), abort.signal);
    abort.abort();
    expect(await codeOf(dial)).toBe("ERR_ABORTED");
    expect(await codeOf(a.swarm.dial(at(await unusedPort()), forever))).toBe("ERR_TIMEOUT");
  });

  it("gives up on a server that accepts and says nothing", async () => {
    const a = await node({ limits: { handshakeMs: 200 } });
    const silent = await tcpServer(() => {});
    expect(await codeOf(a.swarm.dial(at(silent), forever))).toBe("ERR_TIMEOUT");
  });

  it("drops a client that connects and says nothing", async () => {
    const a = await node({ limits: { handshakeMs: 200 } });
    const socket = connectTcp(a.port, "127.0.0.1");
    await new Promise<void>((resolve) => {
      socket.on("error", () => {}).on("close", () => resolve());
    });
    expect(a.links).toEqual([]);
  });

  it("takes 10 connections at once from one address, then refuses", async () => {
    const a = await node();
    const sockets = Array.from({ length: 40 }, () => connectTcp(a.port, "127.0.0.1"));
    let closed = 0;
    for (const socket of sockets) {
      socket
        .on("error", () => {})
        .on("close", () => {
          closed += 1;
        });
    }
    cleanups.push(() => {
      for (const socket of sockets) socket.destroy();
    });
    await eventually(() => expect(closed).toBeGreaterThanOrEqual(29));
    expect(closed).toBeLessThanOrEqual(31);
  });
});

describe("the swarm's key", () => {
  it("must be the same on both sides", async () => {
    const [a, b] = [await node({ keys: { ...keys, psk: randomBytes(32) } }), await node()];
    expect(await codeOf(a.swarm.dial(at(b.port), forever))).toBe("ERR_PEER_REFUSED");
    expect(b.links).toEqual([]);
  });

  it("is refused when the other side does not know the swarm", async () => {
    const [a, b] = [await node(), await node({ keys: { ...keys, swarm: randomBytes(32) } })];
    expect(await codeOf(a.swarm.dial(at(b.port), forever))).toBe("ERR_PEER_REFUSED");
  });

  it("is not replaced by a certificate", async () => {
    const a = await node();
    const server = createTlsServer({ ...testCertificate, minVersion: "TLSv1.3", ciphers: PSK_CIPHERS });
    server.on("tlsClientError", () => {});
    const port = await listen(server);
    expect(await codeOf(a.swarm.dial(at(port), forever))).toBe("ERR_PEER_REFUSED");
  });

  it.each<readonly [string, (port: number) => TLSSocket]>([
    ["without key", (port) => connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false })],
    [
      "with TLS 1.2",
      (port) =>
        connectTls({
          port,
          host: "127.0.0.1",
          maxVersion: "TLSv1.2",
          ciphers: "PSK-AES128-GCM-SHA256",
          checkServerIdentity: () => undefined,
          pskCallback: () => ({ psk: keys.psk, identity }),
        }),
    ],
    [
      "with an endless identity",
      (port) =>
        connectTls({
          port,
          host: "127.0.0.1",
          ciphers: PSK_CIPHERS,
          checkServerIdentity: () => undefined,
          pskCallback: () => ({ psk: keys.psk, identity: "x".repeat(128) }),
        }),
    ],
  ])("keeps out a client %s", async (_, connect) => {
    const a = await node();
    const socket = connect(a.port);
    cleanups.push(() => socket.destroy());
    await new Promise<void>((resolve) => {
      socket.on("error", () => {}).on("close", () => resolve());
    });
    expect(a.links).toEqual([]);
  });

  it("is asked for in every connection: no session ticket lets anybody in", async () => {
    const a = await node();
    const options = {
      port: a.port,
      host: "127.0.0.1",
      minVersion: "TLSv1.3" as const,
      ciphers: PSK_CIPHERS,
      ca: [],
      checkServerIdentity: () => undefined,
    };
    const first = connectTls({ ...options, pskCallback: () => ({ psk: keys.psk, identity }) });
    const sessions: Buffer[] = [];
    first.on("session", (session) => sessions.push(session));
    first.on("error", () => {});
    // The victim's handshake bytes come after its tickets, if there were any.
    await new Promise<void>((resolve) => {
      first.once("data", () => resolve());
    });
    first.destroy();
    const [session] = sessions;
    const second = connectTls(session === undefined ? options : { ...options, session });
    let received = 0;
    second.on("data", (bytes) => {
      received += bytes.length;
    });
    await new Promise<void>((resolve) => {
      second.on("error", () => {}).on("close", () => resolve());
    });
    expect(received).toBe(0);
    expect(a.links).toEqual([]);
  });

  it("alone does not let a member stand in the middle of two others", async () => {
    const [a, b] = [await node(), await node()];
    const piped: Promise<void>[] = [];
    const middle = createTlsServer(
      { ciphers: PSK_CIPHERS, minVersion: "TLSv1.3", pskCallback: () => keys.psk },
      (toA) => {
        const toB = connectTls({
          port: b.port,
          host: "127.0.0.1",
          ciphers: PSK_CIPHERS,
          minVersion: "TLSv1.3",
          ca: [],
          checkServerIdentity: () => undefined,
          pskCallback: () => ({ psk: keys.psk, identity }),
        });
        toA.on("error", () => {}).pipe(toB);
        toB.on("error", () => {}).pipe(toA);
        piped.push(new Promise((resolve) => toB.on("close", () => resolve())));
      },
    );
    const port = await listen(middle);
    await expect(a.swarm.dial(at(port), forever)).rejects.toMatchObject({
      code: "ERR_PEER_REFUSED",
      message: expect.stringMatching(/prove its identity|hung up/),
    });
    await Promise.all(piped);
    expect([a.links, b.links]).toEqual([[], []]);
  });

  it("survives garbage where a TLS handshake should be", async () => {
    const [a, b] = [await node(), await node()];
    for (let i = 0; i < 5; i += 1) {
      const socket = connectTcp(a.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.end(randomBytes(1000));
      await new Promise<void>((resolve) => {
        socket.on("close", () => resolve());
      });
    }
    await b.swarm.dial(at(a.port), forever);
    expect(b.links.length).toBe(1);
  });
});

describe("a member that talks TLS well and the protocol badly", () => {
  it("is cut off while the other links live on", async () => {
    const [a, b] = [await node(), await node()];
    await b.swarm.dial(at(a.port), forever);
    const socket = await dialPsk({
      ...at(a.port),
      key: { identity, psk: keys.psk },
      timeoutMs: 5000,
      clock: realClock,
      signal: forever,
    });
    const closed = new Promise<void>((resolve) => {
      socket.listen({ data: () => {}, closed: () => resolve() });
    });
    socket.write(randomBytes(200_000), () => {});
    await closed;
    b.links[0]?.send({ type: "interested" });
    await eventually(() => expect(a.recorder.types).toEqual(["interested"]));
  });
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  cleanups.push(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
      }),
  );
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("unreachable: no port");
  return address.port;
}

async function tcpServer(onConnection: () => void): Promise<number> {
  const server = createTcpServer((socket) => {
    socket.on("error", () => {});
    cleanups.push(() => socket.destroy());
    onConnection();
  });
  return listen(server);
}

async function unusedPort(): Promise<number> {
  const server = createTcpServer();
  const port = await listen(server);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  return port;
}
