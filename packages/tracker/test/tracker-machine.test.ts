import { issueTicket, joinProof, parseNetwork, type ToTracker } from "@ckmesh/wire";
import { beforeEach, describe, expect, it } from "vitest";
import { CLOSED, FLEET_KEY, helloOf, JOIN_KEY, NONCE, OPEN, peerIdOf, Rig, SWARM } from "./tracker-rig.js";

const BYTES = { previous: 0, delta: 0, host: 0, peers: 0, origin: 0, wasted: 0 };

const ticketFor = (n: number, extra: object = {}): Uint8Array =>
  issueTicket(FLEET_KEY, {
    peerId: peerIdOf(n),
    user: "alice",
    role: "client",
    expires: 1_700_000_000_000 + 3_600_000,
    ...extra,
  });

let rig: Rig;
beforeEach(() => {
  rig = new Rig(OPEN);
});

describe("admission", () => {
  beforeEach(() => {
    rig = new Rig(CLOSED);
  });

  it("challenges, and welcomes a ticket with the site of the ticket", () => {
    rig.join(1, "10.0.0.1", helloOf(1, { ticket: ticketFor(1, { site: "Berlin" }), site: "Rome" }));
    expect(rig.take(1)).toEqual([
      { type: "challenge", nonce: NONCE },
      { type: "welcome", site: "Berlin", networks: [], observed: "10.0.0.1", announceMs: 60_000 },
    ]);
  });

  it("welcomes a join proof for its own nonce", () => {
    rig.join(1, "10.0.0.1", helloOf(1, { joinProof: joinProof(JOIN_KEY, NONCE, peerIdOf(1)) }));
    expect(rig.take(1).at(-1)).toMatchObject({ type: "welcome" });
  });

  it.each([
    ["without ticket or proof", {}, "ERR_AUTH_REQUIRED"],
    ["with the ticket of another peer", { ticket: ticketFor(2) }, "ERR_TICKET_INVALID"],
    [
      "with a ticket that ran out",
      { ticket: ticketFor(1, { expires: 1_700_000_000_000 }) },
      "ERR_TICKET_INVALID",
    ],
    ["with a ticket of noise", { ticket: new Uint8Array(100) }, "ERR_TICKET_INVALID"],
    [
      "with the proof for another nonce",
      { joinProof: joinProof(JOIN_KEY, new Uint8Array(16), peerIdOf(1)) },
      "ERR_AUTH_FORBIDDEN",
    ],
  ])("refuses hello %s", (_, extra, code) => {
    rig.join(1, "10.0.0.1", helloOf(1, extra));
    expect(rig.take(1).at(-1)).toMatchObject({ type: "refused", remoteCode: code });
    expect(rig.closed).toEqual([{ connection: 1, code }]);
    expect(rig.machine.peerCount).toBe(0);
  });

  it("refuses a wrong ticket even when open", () => {
    rig = new Rig({ ...CLOSED, open: true });
    rig.join(1, "10.0.0.1", helloOf(1, { ticket: new Uint8Array(100) }));
    expect(rig.closed).toEqual([{ connection: 1, code: "ERR_TICKET_INVALID" }]);
  });

  it("refuses any other first message", () => {
    rig.open(1, "10.0.0.1");
    rig.announce(1);
    expect(rig.closed).toEqual([{ connection: 1, code: "ERR_WIRE_MESSAGE_INVALID" }]);
  });

  it("closes after 10 s without hello", () => {
    rig.open(1, "10.0.0.1");
    rig.pass(9_999);
    expect(rig.closed).toEqual([]);
    rig.pass(1);
    expect(rig.closed).toEqual([{ connection: 1, code: "ERR_TIMEOUT" }]);
  });

  it("ends a connection when its ticket runs out", () => {
    rig.join(1, "10.0.0.1", helloOf(1, { ticket: ticketFor(1) }));
    rig.pass(3_540_000);
    expect(rig.closed).toEqual([]);
    rig.pass(120_000);
    expect(rig.closed).toEqual([{ connection: 1, code: "ERR_TICKET_INVALID" }]);
  });

  it("replaces the connection of a peer that is back, but lets nobody push another out", () => {
    rig.join(1, "10.0.0.1", helloOf(7, { ticket: ticketFor(7) }));
    rig.join(2, "10.0.0.2", helloOf(7, { ticket: ticketFor(7, { user: "mallory" }) }));
    expect(rig.closed).toEqual([{ connection: 2, code: "ERR_PEER_REFUSED" }]);
    rig.join(3, "10.0.0.3", helloOf(7, { ticket: ticketFor(7) }));
    expect(rig.closed.at(-1)).toEqual({ connection: 1, code: "ERR_PEER_REFUSED" });
    expect(rig.machine.peerCount).toBe(1);
  });

  it("takes published from an origin only, and tells clients only", () => {
    const published: ToTracker = { type: "published", image: "xp", version: 2 };
    rig.join(1, "10.0.0.1", helloOf(1, { ticket: ticketFor(1, { role: "origin" }) }));
    rig.join(2, "10.0.0.2", helloOf(2, { ticket: ticketFor(2) }));
    rig.join(3, "10.0.0.3", helloOf(3, { ticket: ticketFor(3) }));
    rig.say(1, published);
    expect([1, 2, 3].map((n) => rig.take(n).at(-1)?.type)).toEqual(["welcome", "published", "published"]);
    rig.say(2, published);
    expect(rig.closed).toEqual([{ connection: 2, code: "ERR_AUTH_FORBIDDEN" }]);
    expect(rig.take(3)).toEqual([]);
  });

  it("takes no announce from an origin", () => {
    rig.join(1, "10.0.0.1", helloOf(1, { ticket: ticketFor(1, { role: "origin" }) }));
    rig.announce(1);
    expect(rig.closed).toEqual([{ connection: 1, code: "ERR_PEER_REFUSED" }]);
  });

  it("takes no published in open mode without a ticket", () => {
    rig = new Rig(OPEN);
    rig.join(1, "10.0.0.1");
    rig.say(1, { type: "published", image: "xp", version: 2 });
    expect(rig.closed).toEqual([{ connection: 1, code: "ERR_AUTH_FORBIDDEN" }]);
  });
});

describe("introductions", () => {
  it("name live peers of the same site and swarm only, without the receiver", () => {
    for (const n of [1, 2]) rig.join(n, `10.0.0.${n}`);
    rig.join(3, "10.0.9.3");
    rig.join(4, "10.0.0.4");
    for (const n of [1, 2, 3]) rig.announce(n);
    rig.announce(4, new Uint8Array(32));
    rig.announce(1);
    expect(rig.peersOf(1)).toEqual(["10.0.0.2"]);
    rig.step({ type: "closed", connection: 2 });
    rig.announce(1);
    expect(rig.peersOf(1)).toEqual([]);
  });

  it("end when a peer leaves the swarm or misses three announces", () => {
    for (const n of [1, 2, 3]) {
      rig.join(n, `10.0.0.${n}`);
      rig.announce(n);
    }
    rig.say(2, { type: "leave", swarm: SWARM });
    rig.announce(1);
    expect(rig.peersOf(1)).toEqual(["10.0.0.3"]);
    for (let minute = 0; minute < 5; minute += 1) {
      rig.pass(60_000);
      rig.announce(1);
    }
    expect(rig.peersOf(1)).toEqual([]);
    expect(rig.closed).toEqual([]);
  });

  it("do not mix peers with different claim rules", () => {
    rig.join(1, "10.0.0.1");
    rig.join(2, "10.0.0.2", helloOf(2, { claimRules: 2 }));
    rig.announce(1);
    rig.announce(2);
    expect(rig.peersOf(2)).toEqual([]);
  });

  it("are complete only when the tracker has run for 15 s", () => {
    rig.join(1, "10.0.0.1");
    rig.announce(1);
    expect(rig.take(1).at(-1)).toMatchObject({ type: "peers", complete: false });
    rig.pass(15_000);
    rig.announce(1);
    expect(rig.take(1).at(-1)).toMatchObject({ type: "peers", complete: true });
  });

  it("stay inside the networks of a configured site", () => {
    const network = parseNetwork("10.1.0.0/16");
    rig = new Rig({
      ...OPEN,
      sites: network === undefined ? [] : [{ label: "Berlin", networks: [network] }],
    });
    const label = { site: "Berlin" };
    rig.join(1, "10.1.0.1");
    rig.join(2, "81.2.69.2", helloOf(2, { ...label, addresses: ["10.1.0.2", "192.168.0.2"] }));
    rig.join(3, "81.2.69.3", helloOf(3, { ...label, addresses: ["192.168.0.3"] }));
    for (const n of [2, 3, 1]) rig.announce(n);
    expect(rig.peersOf(1)).toEqual(["10.1.0.2"]);
    expect(rig.take(2)).toContainEqual(
      expect.objectContaining({ type: "welcome", networks: ["10.1.0.0/16"] }),
    );
  });

  it("reach those who were there first soon, together, and once a second at most", () => {
    rig.join(1, "10.0.0.1");
    rig.announce(1);
    rig.take(1);
    for (const n of [2, 3]) {
      rig.join(n, `10.0.0.${n}`);
      rig.announce(n);
    }
    rig.pass(200);
    expect(rig.peersOf(1)).toEqual(["10.0.0.2", "10.0.0.3"]);
    rig.join(4, "10.0.0.4");
    rig.announce(4);
    rig.pass(999);
    expect(rig.take(1)).toEqual([]);
    rig.pass(1);
    expect(rig.peersOf(1)).toEqual(["10.0.0.4"]);
  });

  it("are pushed to 64 members of a large swarm, not to all", () => {
    for (let n = 1; n <= 200; n += 1) {
      rig.join(n, `10.0.0.${n}`, helloOf(n));
      rig.announce(n);
    }
    rig.pass(10_000);
    rig.sent.length = 0;
    rig.join(201, "10.0.0.201");
    rig.announce(201);
    rig.pass(10_000);
    const pushes = rig.sent.filter((s) => s.to !== 201 && s.message.type === "peers");
    expect(pushes.length).toBeGreaterThanOrEqual(63);
    expect(pushes.length).toBeLessThanOrEqual(64);
  });

  it("reach a client that nobody can dial, though nobody hears of it", () => {
    rig.join(1, "10.0.0.1", helloOf(1, { port: 0 }));
    rig.announce(1);
    rig.take(1);
    rig.join(2, "10.0.0.2");
    rig.announce(2);
    expect(rig.peersOf(2)).toEqual([]);
    rig.pass(200);
    expect(rig.peersOf(1)).toEqual(["10.0.0.2"]);
  });
});

describe("limits", () => {
  it("cut a connection off at the 257th message of a burst", () => {
    rig.join(1, "10.0.0.1");
    const report: ToTracker = {
      type: "report",
      image: "xp",
      version: 1,
      state: "fetching",
      have: 0,
      rows: 1,
      bytes: BYTES,
    };
    for (let i = 0; i < 256; i += 1) rig.say(1, report);
    expect(rig.closed).toEqual([]);
    rig.say(1, report);
    expect(rig.closed).toEqual([{ connection: 1, code: "ERR_RATE_LIMITED" }]);
  });

  it("cut a connection off at the 129th announce of a burst", () => {
    rig.join(1, "10.0.0.1");
    for (let i = 0; i < 128; i += 1) rig.announce(1);
    expect(rig.closed).toEqual([]);
    rig.announce(1);
    expect(rig.closed).toEqual([{ connection: 1, code: "ERR_RATE_LIMITED" }]);
  });

  it("take 64 swarms of one client and not 65, unless it leaves one", () => {
    rig.join(1, "10.0.0.1");
    for (let i = 0; i < 64; i += 1) rig.announce(1, new Uint8Array(32).fill(i));
    rig.say(1, { type: "leave", swarm: new Uint8Array(32) });
    rig.announce(1, new Uint8Array(32).fill(100));
    expect(rig.closed).toEqual([]);
    expect(rig.machine.swarmCount).toBe(64);
    rig.announce(1, new Uint8Array(32).fill(101));
    expect(rig.closed).toEqual([{ connection: 1, code: "ERR_RATE_LIMITED" }]);
    expect(rig.machine.swarmCount).toBe(0);
  });

  it("refuse bytes that are no message, and a second hello", () => {
    rig.join(1, "10.0.0.1");
    rig.step({ type: "garbage", connection: 1, reason: "message is no map" });
    rig.join(2, "10.0.0.2");
    rig.say(2, helloOf(2));
    expect(rig.closed.map((c) => c.code)).toEqual(["ERR_WIRE_MESSAGE_INVALID", "ERR_WIRE_MESSAGE_INVALID"]);
  });
});

describe("reports", () => {
  it("are bound to the peer that said hello, whatever they claim", () => {
    rig.join(1, "10.0.0.1", helloOf(1, { site: "Berlin" }));
    rig.say(1, {
      type: "report",
      image: "xp",
      version: 3,
      state: "verified",
      have: 9,
      rows: 9,
      bytes: BYTES,
    });
    expect(rig.machine.reports()).toEqual([
      {
        peerId: "01".repeat(32),
        user: "",
        site: "Berlin",
        receivedAt: rig.clock.wall(),
        image: "xp",
        version: 3,
        state: "verified",
        have: 9,
        rows: 9,
        bytes: BYTES,
      },
    ]);
  });
});

describe("warm start", () => {
  it("hands out remembered addresses until their time is over", () => {
    rig.join(1, "10.0.0.1");
    rig.announce(1);
    const snapshot = rig.machine.takeChanged();
    expect(rig.machine.takeChanged()).toEqual([]);

    rig = new Rig(OPEN);
    rig.machine.remember(snapshot, rig.clock.now());
    rig.join(2, "10.0.0.2");
    rig.announce(2);
    expect(rig.peersOf(2)).toEqual(["10.0.0.1"]);
    rig.pass(120_000);
    rig.announce(2);
    expect(rig.peersOf(2)).toEqual([]);
  });

  it("notes that a swarm is gone", () => {
    rig.join(1, "10.0.0.1");
    rig.announce(1);
    rig.machine.takeChanged();
    rig.step({ type: "closed", connection: 1 });
    expect(rig.machine.takeChanged()).toMatchObject([{ peers: [] }]);
    expect(rig.machine.swarmCount).toBe(0);
  });
});
