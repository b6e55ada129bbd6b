import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { silentLogger, toHex } from "@ckmesh/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MAX_HALF_OPEN, MAX_HALF_OPEN_PER_SOURCE } from "../src/handshake-limits.js";
import { Identity } from "../src/identity.js";
import type { PeerLink } from "../src/peer-link.js";
import { PSK_CIPHERS } from "../src/peer-tls.js";
import { PeerTransport, type SwarmEndpoint } from "../src/peer-transport.js";
import { Recorder } from "./link-fixtures.js";
import { eventually, realClock, realRandom } from "./test-clock.js";

const KEYS = { versionId: randomBytes(32), psk: randomBytes(32), swarm: randomBytes(32) };
const LAYOUT = { rows: 16, rowsLength: (_: number, length: number) => (length === 65_536 ? 1 : undefined) };
/** Sockets of the attacker at a time; each costs two descriptors in this process. */
const WAVE = 100;
const CONNECTIONS = 1000;

interface Member {
  readonly transport: PeerTransport;
  readonly swarm: SwarmEndpoint;
  readonly port: number;
  readonly links: PeerLink[];
}

let victim: Member;
let honest: Member;
/** The attacker's sockets that nobody has closed. */
const open = new Set<Socket>();

beforeEach(async () => {
  [victim, honest] = [await member(), await member()];
});
afterEach(async () => {
  for (const socket of open) socket.destroy();
  await Promise.all([victim.transport.close(), honest.transport.close()]);
});

async function member(): Promise<Member> {
  const transport = new PeerTransport({
    identity: Identity.generate(),
    listen: { host: "127.0.0.1", port: 0 },
    allowLoopback: true,
    peerClass: "wired",
    clock: realClock,
    random: realRandom,
    logger: silentLogger,
  });
  const { port } = await transport.listen();
  const links: PeerLink[] = [];
  const swarm = transport.addSwarm({
    ...KEYS,
    layout: LAYOUT,
    onPeer(link) {
      links.push(link);
      link.start(new Recorder());
    },
  });
  return { transport, swarm, port, links };
}

/** A connection from another machine's address. `isMember`: it knows the key, finishes TLS, and says nothing then. */
function attack(localAddress: string, isMember: boolean): Promise<unknown> {
  const socket = connectTcp({ port: victim.port, host: "127.0.0.1", localAddress });
  open.add(socket);
  const closed = new Promise<void>((resolve) => {
    socket.on("error", () => {}).on("close", () => resolve());
  });
  void closed.then(() => open.delete(socket));
  if (isMember) {
    const options = { socket, ciphers: PSK_CIPHERS, minVersion: "TLSv1.3" as const, ca: [] };
    const psk = { psk: KEYS.psk, identity: toHex(KEYS.swarm) };
    const tls = connectTls({ ...options, checkServerIdentity: () => undefined, pskCallback: () => psk });
    tls.on("error", () => {}).resume(); // a hang-up must be seen
  } else socket.resume();
  return Promise.race([once(socket, "connect"), closed]);
}

/** Wave after wave; each next one when the victim has judged all but those that it may keep half open. */
async function flood(address: (i: number) => string, isMember: boolean, kept: number): Promise<void> {
  for (let sent = 0; sent < CONNECTIONS; sent += WAVE) {
    await Promise.all(Array.from({ length: WAVE }, (_, i) => attack(address(sent + i), isMember)));
    await eventually(() => expect(open.size).toBeLessThanOrEqual(kept));
  }
}

/** An honest peer tries again, as the dialer does. */
async function getsIn(): Promise<void> {
  const signal = AbortSignal.timeout(8000);
  while (honest.links.length === 0) {
    signal.throwIfAborted();
    await honest.swarm.dial({ address: "127.0.0.1", port: victim.port }, signal).catch(() => {});
  }
}

describe("an insider that connects 1,000 times", () => {
  it.each([
    ["with the key", true],
    ["without", false],
  ])(
    "from one address %s holds ten connections, and honest peers get in at once",
    async (_, isMember) => {
      await flood(() => "127.0.0.9", isMember, MAX_HALF_OPEN_PER_SOURCE);
      expect(victim.links).toEqual([]);
      await honest.swarm.dial({ address: "127.0.0.1", port: victim.port }, new AbortController().signal);
      expect(honest.links).toHaveLength(1);
    },
    30_000,
  );

  it("from 200 addresses holds fifty connections, and honest peers get in while it goes on", async () => {
    const attacking = flood((i) => `127.0.1.${1 + (i % 200)}`, true, MAX_HALF_OPEN);
    await getsIn();
    await attacking;
    expect(victim.links).toHaveLength(1);
  }, 30_000);
});
