import { createSocket, type Socket } from "node:dgram";
import { type Logger, seededRandom, silentLogger } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import {
  decodeLanAnnouncement,
  encodeLanAnnouncement,
  encodeWanNotice,
  LAN_GROUP,
  type PeerAddress,
  siteMark,
  type WanNotice,
} from "@ckmesh/wire";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { LanAnnouncer } from "../src/lan-announcer.js";
import type { LanPort, LanSocketsOptions } from "../src/lan-sockets.js";
import { eventually, realClock, realRandom } from "./test-clock.js";

const swarm = (n: number): Uint8Array => new Uint8Array(32).fill(n);

/** Lets promises that are already decided run on. */
const settle = (): Promise<void> => vi.waitFor(() => Promise.resolve());

/** A network of one: records what is sent, delivers what the test says. */
class TestPort implements LanPort {
  readonly sent: Uint8Array[] = [];
  readonly opened: (readonly string[])[] = [];
  isFailing = false;
  readonly options: LanSocketsOptions;

  constructor(options: LanSocketsOptions) {
    this.options = options;
  }
  open(addresses: readonly string[]): Promise<boolean> {
    this.opened.push(addresses);
    return Promise.resolve(!this.isFailing);
  }
  send(bytes: Uint8Array): void {
    this.sent.push(bytes);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
  get sentSwarms(): number {
    return this.sent.reduce((sum, bytes) => sum + decodeLanAnnouncement(bytes).swarms.length, 0);
  }
}

describe("LanAnnouncer on a virtual clock", () => {
  let clock: VirtualClock;
  let port: TestPort;
  let addresses: string[];
  let found: (readonly [Uint8Array, PeerAddress])[];
  let notices: WanNotice[];
  let announcer: LanAnnouncer;
  beforeEach(async () => {
    clock = new VirtualClock();
    addresses = ["10.0.0.5"];
    found = [];
    notices = [];
    announcer = new LanAnnouncer({
      clock,
      random: seededRandom(1),
      logger: silentLogger,
      port: 7650,
      interfaces: () => addresses,
      found: (id, peer) => found.push([id, peer]),
      heardWan: (notice) => notices.push(notice),
      createPort: (options) => {
        port = new TestPort(options);
        return port;
      },
    });
    await settle();
  });
  afterEach(async () => {
    await announcer.close();
  });

  it("announces a new swarm at once, again after a second, and then once a minute at most", async () => {
    announcer.setSwarms([swarm(1)]);
    await settle();
    expect(port.sent.length).toBe(1);
    clock.advance(1000);
    expect(port.sent.length).toBe(2);
    clock.advance(59_000);
    expect(port.sent.length).toBe(2);
    clock.advance(3_600_000);
    expect(port.sent.length).toBeGreaterThan(2 + 44);
    expect(port.sent.length).toBeLessThanOrEqual(2 + 60);
  });

  it("passes notices of the WAN on, and drops what only begins like one", () => {
    const notice = { peerId: "0a".repeat(16), site: siteMark(undefined), rate: 1000 };
    const bytes = encodeWanNotice(notice);
    port.options.received(bytes, "10.0.0.6", () => {});
    port.options.received(bytes.subarray(0, 40), "10.0.0.6", () => {});
    expect(notices).toEqual([notice]);
    announcer.sayWan(notice);
    expect(port.sent).toEqual([bytes]);
  });

  it("packs up to 24 swarms into a datagram", async () => {
    announcer.setSwarms(Array.from({ length: 30 }, (_, i) => swarm(i)));
    await settle();
    expect(port.sent.length).toBe(2);
    expect(port.sentSwarms).toBe(30);
  });

  it("is silent about a swarm that was taken away", async () => {
    announcer.setSwarms([swarm(1)]);
    await settle();
    announcer.setSwarms([]);
    clock.advance(600_000);
    expect(port.sent.length).toBe(1);
  });

  it("opens its sockets anew and announces when an interface comes, and tries again where that failed", async () => {
    announcer.setSwarms([swarm(1)]);
    await settle();
    addresses = ["10.0.0.5", "192.168.1.9"];
    port.isFailing = true;
    clock.advance(10_000);
    await settle();
    port.isFailing = false;
    clock.advance(10_000);
    await settle();
    clock.advance(60_000);
    await settle();
    expect(port.opened).toEqual([["10.0.0.5"], addresses, addresses]);
    expect(port.sent.length).toBeGreaterThanOrEqual(4);
  });

  it("reports a peer of a common swarm and answers it alone, but answers no answer", () => {
    announcer.setSwarms([swarm(1), swarm(2)]);
    const cookie = new Uint8Array(8).fill(9);
    const answers: Uint8Array[] = [];
    const hear = (isAnswer: boolean): void =>
      port.options.received(
        encodeLanAnnouncement({ port: 1234, cookie, isAnswer, swarms: [swarm(2), swarm(3)] }),
        "10.0.0.7",
        (bytes) => answers.push(bytes),
      );
    hear(false);
    hear(true);
    expect(found).toEqual([
      [swarm(2), { address: "10.0.0.7", port: 1234 }],
      [swarm(2), { address: "10.0.0.7", port: 1234 }],
    ]);
    expect(answers.map((bytes) => decodeLanAnnouncement(bytes).isAnswer)).toEqual([true]);
  });

  it("ignores its own datagrams", async () => {
    announcer.setSwarms([swarm(1)]);
    await settle();
    for (const bytes of port.sent) port.options.received(bytes, "10.0.0.5", () => {});
    expect(found).toEqual([]);
  });

  it("answers a flood at 20 a second and looks at 200 a second", () => {
    announcer.setSwarms([swarm(1)]);
    let answers = 0;
    const bytes = encodeLanAnnouncement({
      port: 1,
      cookie: new Uint8Array(8),
      isAnswer: false,
      swarms: [swarm(1)],
    });
    for (let i = 0; i < 100_000; i += 1) {
      if (i % 10_000 === 0) clock.advance(1000);
      port.options.received(bytes, "10.0.0.7", () => {
        answers += 1;
      });
    }
    expect(answers).toBeLessThanOrEqual(40 + 10 * 20);
    expect(found.length).toBeLessThanOrEqual(400 + 10 * 200);
  });

  it("survives a handler that throws and interfaces that cannot be listed", async () => {
    const brittle = new LanAnnouncer({
      clock,
      random: seededRandom(2),
      logger: silentLogger,
      port: 1,
      interfaces: () => {
        throw new Error("no interfaces");
      },
      found: () => {
        throw new Error("handler");
      },
      createPort: (options) => {
        port = new TestPort(options);
        return port;
      },
    });
    brittle.setSwarms([swarm(1)]);
    const bytes = encodeLanAnnouncement({
      port: 1,
      cookie: new Uint8Array(8),
      isAnswer: true,
      swarms: [swarm(1)],
    });
    expect(() => port.options.received(bytes, "10.0.0.7", () => {})).not.toThrow();
    await brittle.close();
  });
});

/** Some machines have no multicast on their loopback interface. */
async function multicastTrouble(): Promise<string | undefined> {
  const socket = createSocket({ type: "udp4", reuseAddr: true });
  try {
    await new Promise<void>((resolve) => socket.bind(0, "0.0.0.0", resolve));
    socket.addMembership(LAN_GROUP, "127.0.0.1");
    socket.setMulticastInterface("127.0.0.1");
    await new Promise<void>((resolve, reject) => {
      socket.once("message", () => resolve());
      socket.send("probe", socket.address().port, LAN_GROUP, (err) => {
        if (err !== null) reject(err);
      });
      setTimeout(() => reject(new Error("nothing comes back")), 2000).unref();
    });
    return undefined;
  } catch (err) {
    return `no multicast on loopback: ${String(err)}`;
  } finally {
    socket.close();
  }
}

const trouble = await multicastTrouble();

describe.skipIf(trouble !== undefined)(`LanAnnouncer on the loopback interface${trouble ?? ""}`, () => {
  const announcers: LanAnnouncer[] = [];
  afterEach(async () => {
    await Promise.all(announcers.splice(0).map((announcer) => announcer.close()));
  });

  const start = (
    udpPort: number,
    port: number,
    found: (id: Uint8Array, peer: PeerAddress) => void,
    options: { readonly interfaces?: readonly string[]; readonly logger?: Logger } = {},
  ): LanAnnouncer => {
    const announcer = new LanAnnouncer({
      clock: realClock,
      random: realRandom,
      logger: options.logger ?? silentLogger,
      port,
      udpPort,
      interfaces: () => options.interfaces ?? ["127.0.0.1"],
      found,
    });
    announcers.push(announcer);
    return announcer;
  };

  it("lets two clients find each other", async () => {
    const udpPort = await freeUdpPort();
    const a: PeerAddress[] = [];
    const b: PeerAddress[] = [];
    start(udpPort, 1111, (_, peer) => a.push(peer)).setSwarms([swarm(1)]);
    start(udpPort, 2222, (_, peer) => b.push(peer)).setSwarms([swarm(1), swarm(2)]);
    await eventually(() => {
      expect(a).toContainEqual({ address: "127.0.0.1", port: 2222 });
      expect(b).toContainEqual({ address: "127.0.0.1", port: 1111 });
    });
  });

  it("survives garbage and goes on", async () => {
    const udpPort = await freeUdpPort();
    const found: PeerAddress[] = [];
    start(udpPort, 1111, (_, peer) => found.push(peer)).setSwarms([swarm(1)]);
    const sender = createSocket("udp4");
    const valid = encodeLanAnnouncement({
      port: 3333,
      cookie: new Uint8Array(8),
      isAnswer: true,
      swarms: [swarm(1)],
    });
    const random = seededRandom(5);
    await eventually(async () => {
      for (let i = 0; i < 20; i += 1) {
        const bytes = Buffer.from(valid);
        bytes[Math.floor(random.next() * bytes.length)] = Math.floor(random.next() * 256);
        await sendTo(sender, bytes, udpPort);
      }
      await sendTo(sender, Buffer.from("BT-SEARCH * HTTP/1.1"), udpPort);
      await sendTo(sender, valid, udpPort);
      expect(found).toContainEqual({ address: "127.0.0.1", port: 3333 });
    });
    sender.close();
  });

  it("complains once about an interface that fails and uses the others", async () => {
    const udpPort = await freeUdpPort();
    const warn = vi.fn<Logger["warn"]>();
    const found: PeerAddress[] = [];
    // 192.0.2.1 (RFC 5737) is no address of this machine.
    start(udpPort, 1111, (_, peer) => found.push(peer), {
      interfaces: ["192.0.2.1", "127.0.0.1"],
      logger: { ...silentLogger, warn },
    }).setSwarms([swarm(1)]);
    start(udpPort, 2222, () => {}).setSwarms([swarm(1)]);
    await eventually(() => expect(found).toContainEqual({ address: "127.0.0.1", port: 2222 }));
    expect(warn).toHaveBeenCalledTimes(1);
  });
});

async function freeUdpPort(): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}

async function sendTo(socket: Socket, bytes: Uint8Array, port: number): Promise<void> {
  await new Promise<void>((resolve) => socket.send(bytes, port, "127.0.0.1", () => resolve()));
}
