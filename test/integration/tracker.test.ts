import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom, silentLogger } from "@ckmesh/core";
import { TrackerLink, type TrackerLinkHandler, type TrackerLinkOptions } from "@ckmesh/net";
import { createMetrics, systemClock } from "@ckmesh/runtime";
import { startTracker, type Tracker, type TrackerConfig } from "@ckmesh/tracker";
import { issueTicket } from "@ckmesh/wire";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { TEST_CERT, TEST_KEY } from "../../packages/origin/test/tls-fixture.js";

const FLEET_KEY = new Uint8Array(32).fill(0xab);
const SWARM = new Uint8Array(32).fill(4);
/** A certificate that signed nothing here. */
const OTHER_CERT = `-----BEGIN CERTIFICATE-----
MIIBdzCCAR2gAwIBAgIUWSGGo+7SDwWWRPJWgFohROmVTA8wCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFb3RoZXIwIBcNMjYxMTIzMTgwNzIzWhgPMjEyNjEwMzAxODA3
MjNaMBAxDjAMBgNVBAMMBW90aGVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
uoVSxnWdgi0bq7Vkyg7xpSPPWR3UH03tGnLZn0U5PmtBBH5+EeX8HTVsMFsRC6ga
z8HryAktbaHZTHm0jzIw+aNTMFEwHQYDVR0OBBYEFOsj5WHIkK/5AHkOJjw9AION
gMjfMB8GA1UdIwQYMBaAFOsj5WHIkK/5AHkOJjw9AIONgMjfMA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgTUMfvMqiesqPv2r3m3CdWKifBYmoUzAI
xt5GrL8Sg7kCIQDiWKlUJ31PXzYH3SA4uwxz8bQi5LJ9ZiRfYD52bMujkQ==
-----END CERTIFICATE-----
`;
const PEER = { address: "127.0.0.1" };

let folder = "";
const opened: { close(): Promise<void> }[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ckmesh-tracker-"));
  await writeFile(join(folder, "fleet.key"), "ab".repeat(32));
  await writeFile(join(folder, "cert.pem"), TEST_CERT);
  await writeFile(join(folder, "key.pem"), TEST_KEY);
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((o) => o.close()));
  await rm(folder, { recursive: true, force: true });
});

async function tracker(config: TrackerConfig = {}): Promise<Tracker> {
  const started = await startTracker(
    {
      tlsListen: "127.0.0.1:0",
      tlsCert: join(folder, "cert.pem"),
      tlsKey: join(folder, "key.pem"),
      fleetKeyFile: join(folder, "fleet.key"),
      ...config,
    },
    { logger: silentLogger, metrics: await createMetrics({ processMetrics: false }), clock: systemClock },
  );
  opened.push(started);
  return started;
}

/** A link of peer `n`; what it hears is in the handler's mocks. */
function link(url: string, n: number, extra: Partial<TrackerLinkOptions> = {}) {
  const peerId = new Uint8Array(32).fill(n);
  const handler = {
    welcome: vi.fn<NonNullable<TrackerLinkHandler["welcome"]>>(),
    peers: vi.fn<NonNullable<TrackerLinkHandler["peers"]>>(),
    published: vi.fn<NonNullable<TrackerLinkHandler["published"]>>(),
  };
  const ticket = vi.fn<() => Promise<Uint8Array>>(() => Promise.resolve(ticketOf(n, "client")));
  const made = new TrackerLink({
    url,
    peerId,
    peerClass: "wired",
    peerPort: () => 7000 + n,
    whereabouts: () => ({ addresses: [], subnets: [] }),
    ticket,
    ca: TEST_CERT,
    clock: systemClock,
    random: seededRandom(n),
    logger: silentLogger,
    handler,
    ...extra,
  });
  opened.push(made);
  made.start();
  return { link: made, ticket, ...handler };
}

function ticketOf(n: number, role: "client" | "origin"): Uint8Array {
  const expires = Date.now() + 60_000;
  return issueTicket(FLEET_KEY, { peerId: new Uint8Array(32).fill(n), user: "alice", role, expires });
}

/** A list that holds peer `n`. */
const port = (n: number): unknown => expect.arrayContaining([{ ...PEER, port: 7000 + n }]);

describe("tracker and links over wss", () => {
  it("introduce clients of one site and spread what the origin published", async () => {
    const { urls } = await tracker();
    const url = urls[0] ?? "";
    const [a, b, elsewhere] = [link(url, 1), link(url, 2), link(url, 3, { site: "elsewhere" })];
    const origin = link(url, 9, { ticket: () => Promise.resolve(ticketOf(9, "origin")) });
    for (const client of [a, b, elsewhere]) client.link.announce(SWARM, 0, 10);
    await vi.waitFor(() => {
      expect(a.peers).toHaveBeenCalledWith(SWARM, port(2), expect.any(Boolean));
      expect(b.peers).toHaveBeenCalledWith(SWARM, port(1), expect.any(Boolean));
      expect(elsewhere.welcome).toHaveBeenCalledWith(expect.objectContaining({ site: "elsewhere" }));
    });
    origin.link.publish("xp", 2);
    await vi.waitFor(() => {
      for (const client of [a, b, elsewhere]) expect(client.published).toHaveBeenCalledWith("xp", 2);
    });
    expect(elsewhere.peers).not.toHaveBeenCalledWith(SWARM, port(1), expect.any(Boolean));
    expect(origin.published).not.toHaveBeenCalled();
  });

  it("come together again when the tracker was stopped and started, each with a new ticket", async () => {
    const first = await tracker();
    const url = first.urls[0] ?? "";
    const [a, b] = [link(url, 1), link(url, 2)];
    for (const client of [a, b]) client.link.announce(SWARM, 0, 10);
    await vi.waitFor(() => expect(a.peers.mock.calls.at(-1)?.[1]).toHaveLength(1));
    await first.close();
    await vi.waitFor(() => expect(a.link.status.state).not.toBe("connected"));
    a.peers.mockClear();
    await tracker({ tlsListen: new URL(url).host });
    await vi.waitFor(() => expect(a.peers.mock.calls.at(-1)?.[1]).toHaveLength(1), { timeout: 20_000 });
    expect(a.ticket.mock.calls.length).toBeGreaterThan(1);
  });

  it("do not meet when the certificate is not trusted, or the ticket is of another fleet", async () => {
    const started = await tracker();
    const url = started.urls[0] ?? "";
    const untrusting = link(url, 1, { ca: OTHER_CERT });
    const stranger = link(url, 2, {
      ticket: () =>
        Promise.resolve(
          issueTicket(new Uint8Array(32), {
            peerId: new Uint8Array(32).fill(2),
            user: "mallory",
            role: "origin",
            expires: Date.now() + 60_000,
          }),
        ),
    });
    await vi.waitFor(() => expect(stranger.link.status.lastError).toContain("ERR_TICKET_INVALID"));
    await vi.waitFor(() => expect(untrusting.link.status.lastError).toMatch(/certificate/));
    expect(started.status().peers).toBe(0);
  });

  it("reports of clients arrive bound to their peer", async () => {
    const started = await tracker();
    const a = link(started.urls[0] ?? "", 1);
    a.link.report({
      image: "xp",
      version: 1,
      state: "fetching",
      have: 1,
      rows: 2,
      bytes: { previous: 1, delta: 2, host: 3, peers: 4, origin: 5, wasted: 6 },
    });
    await vi.waitFor(() =>
      expect(started.reports()).toMatchObject([{ peerId: "01".repeat(32), user: "alice", image: "xp" }]),
    );
  });
});
