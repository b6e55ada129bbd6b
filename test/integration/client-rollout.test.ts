import { generateKeyPairSync } from "node:crypto";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type ClientConfig,
  type ClientStatus,
  controlStore,
  type ImageStatus,
  type RunningClient,
} from "@ckmesh/client";
import { silentLogger, toHex } from "@ckmesh/core";
import { type ControlRecord, emptyControl, encodeControl, publicKeyBytes, type Rollout } from "@ckmesh/image";
import { systemClock } from "@ckmesh/runtime";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Fixture, versionOf } from "./client-fixture.js";

const PUBLISHER = generateKeyPairSync("ed25519").privateKey;
const TRUST: Partial<ClientConfig> = { publishers: [toHex(publicKeyBytes(PUBLISHER))] };
const OPEN: Rollout = { version: 2, since: 1, rings: [], approved: 0, isHeld: false };
const NOBODY: Rollout = { ...OPEN, rings: [{ percent: 0 }] };

/** A client clientst a stock web server: whatever a control record does, it does there, too. */
describe("a control record on a stock web server", () => {
  let fixture: Fixture;
  beforeEach(async () => {
    fixture = await Fixture.create();
    await fixture.publish(1, 1, { signer: PUBLISHER });
  });
  afterEach(() => fixture.close());

  function place(serial: number, change: Partial<ControlRecord>, signers = [PUBLISHER]): void {
    const record = { ...emptyControl("Win11"), serial, createdAt: 1_700_000_000, ...change };
    writeFileSync(join(fixture.dir, "www/Win11.control.index"), encodeControl(record, signers));
  }

  async function publish(version: number): Promise<void> {
    await fixture.publish(version, 1, { changed: 2, signer: PUBLISHER });
  }

  async function once(store: string, config: Partial<ClientConfig> = {}): Promise<ClientStatus> {
    return fixture.once(store, { ...TRUST, ...config });
  }

  async function run(store: string, config: Partial<ClientConfig> = {}): Promise<RunningClient> {
    const client = await fixture.client(store, { ...TRUST, once: false, ...config });
    client.check();
    return client;
  }

  it("brings a withdrawn version's clients back to the one that they kept, with one check and no bytes", async () => {
    await once("a");
    await publish(2);
    const client = await run("a");
    await until(client, (image) => image.active === 2);
    place(10, { withdrawn: [{ version: 2, reason: "does not boot" }] });
    fixture.origin.served.length = 0;
    client.check();
    await until(client, (image) => image.active === 1);
    expect(fixture.origin.served).toEqual(["Win11.control.index"]);
    const { clearance, state } = versionOf(client.status(), 2);
    expect([clearance, state]).toEqual([{ type: "withdrawn", reason: "does not boot" }, "verified"]);
    expect(JSON.parse(await readFile(join(fixture.store("a"), "images/Win11/active"), "utf8"))).toMatchObject(
      {
        version: 1,
      },
    );
    // Taken back: it is the newest good one client.
    place(11, {});
    client.check();
    await until(client, (image) => image.active === 2);
  });

  it("withdraws a version on its way to being active at once, whatever holds it up there", async () => {
    await once("a");
    await publish(2);
    const [hook, asked] = [join(fixture.dir, "hook.sh"), join(fixture.dir, "asked")];
    writeFileSync(hook, `#!/bin/sh\n: > ${asked}\nexec tail -f ${asked}\n`, { mode: 0o755 });
    const client = await run("a", { consentHook: hook });
    await vi.waitFor(() => expect(existsSync(asked)).toBe(true), { timeout: 20_000 });
    place(10, { withdrawn: [{ version: 2 }] });
    client.check();
    await until(client, ({ versions }) => versions[0]?.state === "verified");
    expect(imageOf(client.status()).active).toBe(1);
  });

  it("fetches the last good version anew where it was not kept, and never one below", async () => {
    await once("a");
    await publish(2);
    await publish(3);
    const client = await run("a", { keep: 0 });
    await until(client, ({ active, versions }) => active === 3 && versions.length === 1);
    place(10, { withdrawn: [{ version: 3, backTo: 2 }] });
    client.check();
    await until(client, (image) => image.active === 2);
    expect(await fixture.isIdentical("a", 2)).toBe(true);
    // The publisher's word is the bound: version 1 is no way back, wherever the alias points.
    place(11, { withdrawn: [{ version: 3, backTo: 2 }] });
    fixture.origin.publish("Win11", 1);
    client.check();
    await until(client, ({ lastError }) => lastError?.code === "ERR_VERSION_REFUSED");
    expect(imageOf(client.status()).active).toBe(2);
  });

  it("holds also for a machine that starts without its origin", async () => {
    await once("a");
    await publish(2);
    await once("a");
    place(10, { withdrawn: [{ version: 2 }] });
    await once("a");
    fixture.origin.fault = (_, response) => {
      response.destroy();
      return true;
    };
    const client = await run("a");
    await until(client, (image) => image.active === 1);
    expect(versionOf(client.status(), 2).clearance?.type).toBe("withdrawn");
    await expect(once("b")).rejects.toMatchObject({ code: "ERR_ORIGIN_UNREACHABLE" });
  });

  it("keeps a version from those whose ring is not open: they get the one before", async () => {
    await publish(2);
    place(10, { rollouts: [NOBODY] });
    const outside = await once("a");
    expect([imageOf(outside).active, versionOf(outside, 2).clearance]).toEqual([1, { type: "ring" }]);
    const pilot: Rollout = { ...OPEN, rings: [{ groups: ["pilot"] }], since: 11 };
    place(11, { rollouts: [pilot] });
    expect(imageOf(await once("a", { groups: ["office"] })).active).toBe(1);
    expect(imageOf(await once("b", { groups: ["pilot"] })).active).toBe(2);
    place(12, { rollouts: [{ ...pilot, approved: 1, since: 12 }] });
    expect(imageOf(await once("a", { groups: ["office"] })).active).toBe(2);
  });

  it("fetches ahead of time and activates at the time, without asking the origin again", async () => {
    await once("a");
    await publish(2);
    const farAway = 9_000_000_000;
    place(10, { rollouts: [{ ...OPEN, activateAt: farAway }] });
    const client = await run("a");
    await until(client, ({ versions }) => versions[0]?.state === "verified");
    expect(imageOf(client.status()).active).toBe(1);
    expect(versionOf(client.status(), 2).clearance).toEqual({
      type: "prefetch",
      until: new Date(farAway * 1000).toISOString(),
    });
    const activateAt = Math.ceil(Date.now() / 1000) + 3;
    place(11, { rollouts: [{ ...OPEN, since: 11, activateAt }] });
    client.check();
    await until(client, ({ control }) => control?.serial === 11);
    // What that check still asks after the control record is heads, which are not listed: no bytes of a version.
    fixture.origin.served.length = 0;
    await until(client, (image) => image.active === 2);
    expect(Date.now()).toBeGreaterThanOrEqual(activateAt * 1000);
    expect(fixture.origin.served).toEqual([]);
  });

  it("is settled for --once when its time has not come", async () => {
    await publish(2);
    place(10, { rollouts: [{ ...OPEN, activateAt: 9_000_000_000 }] });
    const status = await once("a");
    expect([versionOf(status, 2).state, imageOf(status).active]).toEqual(["verified", undefined]);
    const early: Rollout = { ...OPEN, since: 11, prefetchAt: 8_000_000_000, activateAt: 9_000_000_000 };
    place(11, { rollouts: [early] });
    expect(versionOf(await once("b"), 2).state).toBe("available");
  });

  it("stops a version that is being fetched when it is withdrawn, and begins with the one before", async () => {
    await publish(2);
    let isBlocked = true;
    fixture.origin.fault = (_, response, name) => {
      if (!isBlocked || name !== "Win11_2.ckm") return false;
      response.writeHead(503, { "retry-after": "1" }).end();
      return true;
    };
    const client = await run("a");
    await until(client, ({ versions }) => versions[0]?.state === "fetching");
    place(10, { withdrawn: [{ version: 2 }] });
    client.check();
    await until(client, (image) => image.active === 1);
    expect(versionOf(client.status(), 2).state).toBe("available");
    isBlocked = false;
  });

  it("stays in force when an older one comes again, and when it is gone", async () => {
    await publish(2);
    place(10, { rollouts: [NOBODY] });
    await once("a");
    place(9, {});
    const replayed = await once("a");
    expect(imageOf(replayed)).toMatchObject({
      active: 1,
      control: { serial: 10, problem: { code: "ERR_CONTROL_OUTDATED" } },
    });
    rmSync(join(fixture.dir, "www/Win11.control.index"));
    const gone = await once("a");
    expect(imageOf(gone)).toMatchObject({ active: 1, control: { serial: 10 } });
    expect(imageOf(gone).control?.problem).toBeUndefined();
  });

  it("that must not be believed stops the check: nobody knows what it holds back", async () => {
    const stranger = generateKeyPairSync("ed25519").privateKey;
    place(10, { withdrawn: [{ version: 1 }] }, [stranger]);
    await expect(once("a")).rejects.toMatchObject({ code: "ERR_SIGNATURE_INVALID" });
    place(10, { withdrawn: [{ version: 1 }] }, []);
    await expect(once("b")).rejects.toMatchObject({ code: "ERR_SIGNATURE_INVALID" });
    // Without publishers this origin's http is no better.
    await expect(fixture.once("c")).rejects.toMatchObject({ code: "ERR_SIGNATURE_INVALID" });
  });

  it("is not there when the server sends a page for every name, or 403", async () => {
    let answer: [number, string] = [200, "<html>not found</html>"];
    fixture.origin.fault = (_, response, name) => {
      if (name !== "Win11.control.index") return false;
      response.writeHead(answer[0]).end(answer[1]);
      return true;
    };
    expect(imageOf(await once("a"))).toMatchObject({ active: 1 });
    answer = [403, ""];
    const status = await once("b");
    expect([imageOf(status).active, imageOf(status).control]).toEqual([1, undefined]);
  });

  it("keeps a person from what was withdrawn or is not released yet", async () => {
    await once("a");
    await publish(2);
    await once("a");
    await publish(3);
    place(10, { withdrawn: [{ version: 2 }], rollouts: [{ ...NOBODY, version: 3 }] });
    const client = await run("a");
    await until(client, (image) => image.active === 1 && image.versions[0]?.version === 3);
    const deps = { logger: silentLogger, clock: systemClock };
    for (const command of [
      { command: "rollback", image: "Win11", version: 2 },
      { command: "accept", image: "Win11", version: 3 },
    ] as const) {
      await expect(controlStore(fixture.store("a"), command, deps)).rejects.toMatchObject({
        code: "ERR_VERSION_REFUSED",
      });
    }
  });
});

function imageOf(status: ClientStatus): ImageStatus {
  const [image] = status.images;
  if (image === undefined) throw new Error("no image");
  return image;
}

async function until(client: RunningClient, isSo: (image: ImageStatus) => boolean): Promise<void> {
  await vi.waitFor(
    () => {
      const [image] = client.status().images;
      expect(image !== undefined && isSo(image)).toBe(true);
    },
    { timeout: 30_000, interval: 20 },
  );
}
