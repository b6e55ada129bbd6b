import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Fixture, versionOf } from "./client-fixture.js";

let fixture: Fixture;
beforeEach(async () => {
  fixture = await Fixture.create();
});
afterEach(async () => {
  await fixture.close();
});

const until = <T>(check: () => T | Promise<T>): Promise<T> =>
  vi.waitFor(check, { timeout: 20_000, interval: 20 });

/** The origin refuses `isRefused` names; 401 or 403. */
function refuse(status: number, isRefused: (name: string) => boolean): void {
  fixture.origin.fault = (_, response, name) => {
    if (!isRefused(name)) return false;
    response.writeHead(status, status === 401 ? { "www-authenticate": "NTLM" } : {}).end();
    return true;
  };
}

const SHARING = { once: false, allowOpenSwarm: true, pollSeconds: 86_400 } as const;

describe("access in the LAN is access at the origin", () => {
  it.each([403, 401])(
    "a client that gets %d leaves the swarm with its next check, and joins again later",
    async (status) => {
      await fixture.publish(1, 4);
      await fixture.once("a", { allowOpenSwarm: true });
      const a = await fixture.client("a", SHARING);
      await until(() => expect(versionOf(a.status(), 1).swarming).toBe(true));

      refuse(status, () => true);
      a.check();
      await until(() => expect(versionOf(a.status(), 1).swarming).toMatch(/does not let this machine read/));
      expect(a.status().images[0]?.lastError?.code).toBe(
        status === 401 ? "ERR_AUTH_REQUIRED" : "ERR_AUTH_FORBIDDEN",
      );
      // What is here stays in use.
      expect(versionOf(a.status(), 1).state).toBe("active");

      // Another client, which may read, gets nothing from it: neither a link nor a byte.
      refuse(503, (name) => name === "Win11_1.ckm");
      await fixture.remember("b", a.peerPort);
      const b = await fixture.client("b", { ...SHARING, listen: "127.0.0.1:0" });
      b.check();
      await until(() => expect(versionOf(b.status(), 1).error?.code).toBe("ERR_ORIGIN_UNREACHABLE"));
      expect(versionOf(b.status(), 1)).toMatchObject({ peers: 0, bytes: { peers: 0 } });

      a.check();
      await until(() => expect(versionOf(a.status(), 1).swarming).toBe(true));
      await until(() => expect(versionOf(b.status(), 1).state).toBe("active"));
      expect(versionOf(b.status(), 1).bytes.peers).toBeGreaterThan(0);
    },
  );

  it("a fetch stops when the right is taken away in the middle, and goes on when it is back", async () => {
    await fixture.publish(1, 8);
    let ranges = 0;
    fixture.origin.fault = (_, response, name) => {
      if (name === "Win11_1.ckm") ranges += 1;
      if (ranges < 2) return false;
      response.writeHead(403).end();
      return true;
    };
    const a = await fixture.client("a", SHARING);
    a.check();
    await until(() => expect(versionOf(a.status(), 1).swarming).toMatch(/does not let this machine read/));
    fixture.origin.fault = undefined;
    a.check();
    await until(() => expect(versionOf(a.status(), 1).state).toBe("active"));
  });

  it("an origin that is away takes nobody out of the swarm", async () => {
    await fixture.publish(1, 4);
    await fixture.once("a", { allowOpenSwarm: true });
    const a = await fixture.client("a", SHARING);
    await until(() => expect(versionOf(a.status(), 1).swarming).toBe(true));
    for (const status of [500, 503, 404]) {
      refuse(status, () => true);
      a.check();
      await until(() => expect(a.status().images[0]?.lastError).toBeDefined());
      expect(versionOf(a.status(), 1).swarming).toBe(true);
      fixture.origin.fault = undefined;
      a.check();
      await until(() => expect(a.status().images[0]?.lastError).toBeUndefined());
    }
  });

  it.each([
    ["the catalogue no longer lists it, and it may not be read", 200, { images: [] }],
    ["the catalogue itself is refused", 403, {}],
  ])("a client that follows the catalogue leaves an image when %s", async (_, status, body) => {
    await fixture.publish(1, 4);
    let catalogue = { status: 200, body: { images: [{ name: "Win11" }] } as object };
    let isReadable = true;
    fixture.origin.fault = (__, response, name) => {
      if (name === "catalogue") response.writeHead(catalogue.status).end(JSON.stringify(catalogue.body));
      else if (isReadable) return false;
      else response.writeHead(403).end();
      return true;
    };
    const a = await fixture.client("a", { ...SHARING, images: [] });
    a.check();
    await until(() => expect(versionOf(a.status(), 1)).toMatchObject({ state: "active", swarming: true }));
    catalogue = { status, body };
    isReadable = false;
    a.check();
    await until(() => expect(versionOf(a.status(), 1).swarming).toMatch(/does not let this machine read/));
  });
});
