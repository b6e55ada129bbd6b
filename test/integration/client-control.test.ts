import { chmod, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { callLocalApi, controlStore, exportPair } from "@ckmesh/client";
import { Fields, isAppError, silentLogger } from "@ckmesh/core";
import { systemClock } from "@ckmesh/runtime";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Fixture, versionOf } from "./client-fixture.js";

const deps = { logger: silentLogger, clock: systemClock };

describe("client under control", () => {
  let fixture: Fixture;
  beforeEach(async () => {
    fixture = await Fixture.create();
    await fixture.publish(1, 4);
  });
  afterEach(() => fixture.close());

  const active = async (store: string): Promise<unknown> =>
    JSON.parse(await readFile(join(fixture.store(store), "images/Win11/active"), "utf8"));

  it("answers over its local socket what it does", async () => {
    const client = await fixture.client("a", { once: false });
    await vi.waitFor(() => expect(versionOf(client.status(), 1).state).toBe("active"), { timeout: 20_000 });
    const status = new Fields(await callLocalApi(fixture.store("a"), { command: "status" }), "status");
    expect(status.boolean("running")).toBe(true);
    expect(status.list("images", 1)).toHaveLength(1);
    expect((await stat(join(fixture.store("a"), "api.sock"))).mode & 0o777).toBe(0o600);
  });

  it("answers also where the path of the store is too long for a socket", async () => {
    const deep = `${"long".repeat(20)}/${"path".repeat(20)}`;
    await mkdir(fixture.store(deep), { recursive: true });
    await fixture.client(deep, { once: false });
    const status = new Fields(await callLocalApi(fixture.store(deep), { command: "status" }), "status");
    expect(status.boolean("running")).toBe(true);
  });

  it("refuses what is no request, and survives it", async () => {
    await fixture.client("a", { once: false });
    const say = (text: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = createConnection(join(fixture.store("a"), "api.sock"), () => socket.write(text));
        let answer = "";
        socket.setEncoding("utf8");
        socket.on("data", (part: string) => {
          answer += part;
        });
        socket.on("close", () => {
          resolve(answer);
        });
        socket.on("error", reject);
      });
    expect(await say("garbage\n")).toContain("ERR_REQUEST_INVALID");
    expect(await say('{"command":"accept","image":"../x"}\n')).toContain("ERR_IMAGE_NAME_INVALID");
    expect(await say('{"command":"rollback","image":"Win11","version":-1}\n')).toContain(
      "ERR_REQUEST_INVALID",
    );
    expect(await say('{"command":"status"}\n')).toContain('"ok":true');
  });

  it("looks at the origin when told to", async () => {
    const client = await fixture.client("a", { once: false });
    await vi.waitFor(() => expect(versionOf(client.status(), 1).state).toBe("active"), { timeout: 20_000 });
    await fixture.publish(2, 4, { changed: 2 });
    await callLocalApi(fixture.store("a"), { command: "check" });
    await vi.waitFor(() => expect(versionOf(client.status(), 2).state).toBe("active"), { timeout: 20_000 });
    expect(versionOf(client.status(), 1).state).toBe("superseded");
    expect(await active("a")).toEqual({ version: 2, pack: "Win11_2.ckm" });
  });

  it("waits with the policy suggest until somebody accepts", async () => {
    const client = await fixture.client("a", { once: false, policy: "suggest" });
    await vi.waitFor(() => expect(versionOf(client.status(), 1).state).toBe("proposed"), { timeout: 20_000 });
    await callLocalApi(fixture.store("a"), { command: "accept", image: "Win11" });
    await vi.waitFor(() => expect(versionOf(client.status(), 1).state).toBe("active"), { timeout: 20_000 });
  });

  it("ends with --once where the policy lets it go", async () => {
    expect(versionOf(await fixture.once("a", { manual: ["Win11"] }), 1).state).toBe("available");
    expect(versionOf(await fixture.once("b", { suggest: ["Win11"] }), 1).state).toBe("proposed");
  });

  it("rolls back to a kept version and stays there until something newer comes", async () => {
    await fixture.once("a");
    await fixture.publish(2, 4, { changed: 2 });
    await fixture.once("a");
    await controlStore(fixture.store("a"), { command: "rollback", image: "Win11" }, deps);
    expect(await active("a")).toEqual({ version: 1, pack: "Win11_1.ckm" });
    const status = await fixture.once("a");
    expect(versionOf(status, 1).state).toBe("active");
    await fixture.publish(3, 4, { changed: 3 });
    expect(versionOf(await fixture.once("a"), 3).state).toBe("active");
    expect(await active("a")).toEqual({ version: 3, pack: "Win11_3.ckm" });
  });

  it("refuses a rollback to what is not there", async () => {
    await fixture.once("a");
    const err: unknown = await controlStore(
      fixture.store("a"),
      { command: "rollback", image: "Win11", version: 7 },
      deps,
    ).catch((e: unknown) => e);
    expect(isAppError(err, "ERR_IMAGE_NOT_FOUND")).toBe(true);
  });

  it("keeps the number of old versions that it is told to", async () => {
    for (const version of [2, 3]) {
      await fixture.once("a", { keep: 1 });
      await fixture.publish(version, 4, { changed: version });
    }
    const status = await fixture.once("a", { keep: 1 });
    expect(status.images[0]?.versions.map((v) => [v.version, v.state])).toEqual([
      [3, "active"],
      [2, "superseded"],
    ]);
  });

  it("rebuilds the disk byte for byte, read-only, before the version becomes active", async () => {
    const version = versionOf(await fixture.once("a", { materialize: "original" }), 1);
    expect(version).toMatchObject({ state: "active", disk: "Win11_1.img" });
    const disk = join(fixture.store("a"), "images/Win11/Win11_1.img");
    expect(Buffer.compare(await readFile(disk), await readFile(join(fixture.dir, "disk.img")))).toBe(0);
    expect((await stat(disk)).mode & 0o777).toBe(0o440);
    expect(await active("a")).toEqual({ version: 1, pack: "Win11_1.ckm", disk: "Win11_1.img" });
  });

  it("rebuilds the disk of a version that is active already when that is switched on", async () => {
    expect(versionOf(await fixture.once("a"), 1)).toMatchObject({ state: "active" });
    const version = versionOf(await fixture.once("a", { materialize: "raw" }), 1);
    expect(version).toMatchObject({ state: "active", disk: "Win11_1.img" });
    expect(await active("a")).toEqual({ version: 1, pack: "Win11_1.ckm", disk: "Win11_1.img" });
  });

  it("stays staged until the hook consents", async () => {
    const hook = join(fixture.dir, "hook.sh");
    await writeFile(hook, `#!/bin/sh\ntest -e ${fixture.dir}/yes && test "$1" = Win11 && test -e "$3"\n`);
    await chmod(hook, 0o755);
    expect(versionOf(await fixture.once("a", { consentHook: hook }), 1).state).toBe("staged");
    await writeFile(join(fixture.dir, "yes"), "");
    expect(versionOf(await fixture.once("a", { consentHook: hook }), 1).state).toBe("active");
  });

  it("shows the state of a store without a client as with one", async () => {
    const running = versionOf(await fixture.once("a"), 1);
    const answer = new Fields(await controlStore(fixture.store("a"), { command: "status" }, deps), "status");
    expect(answer.boolean("running")).toBe(false);
    const [image] = answer.list("images", 1);
    const [version] = new Fields(image, "image").list("versions", 1);
    expect(version).toEqual({ ...running, swarming: "no client runs", rate: { peers: 0, origin: 0 } });
  });

  it("says how to start a client when none runs to do what is asked", async () => {
    await fixture.once("a");
    const err: unknown = await controlStore(fixture.store("a"), { command: "check" }, deps).catch(
      (e: unknown) => e,
    );
    expect(isAppError(err, "ERR_FILE_NOT_FOUND") && err.message).toContain("ckmesh client run");
  });

  it("exports a checked pair for another origin", async () => {
    await fixture.once("a");
    const out = join(fixture.dir, "usb");
    const pair = await exportPair(fixture.store("a"), "Win11", out, { logger: silentLogger });
    expect(pair).toMatchObject({ version: 1, pack: join(out, "Win11_1.ckm") });
    const source = await readFile(join(fixture.dir, "www/Win11_1.ckm"));
    expect(Buffer.compare(await readFile(pair.pack), source)).toBe(0);
  });

  it("exports the version that is asked for, and knows of no other", async () => {
    await fixture.once("a");
    await fixture.publish(2, 4, { changed: 2 });
    await fixture.once("a");
    const options = { logger: silentLogger, version: 1 };
    const out = join(fixture.dir, "usb");
    expect(await exportPair(fixture.store("a"), "Win11", out, options)).toMatchObject({ version: 1 });
    const missing = exportPair(fixture.store("a"), "Win11", out, { ...options, version: 3 });
    await expect(missing).rejects.toMatchObject({ code: "ERR_IMAGE_NOT_FOUND" });
  });

  it("exports over no file that is there already", async () => {
    await fixture.once("a");
    const out = join(fixture.dir, "usb");
    await mkdir(out);
    await writeFile(join(out, "Win11_1.ckm"), "other");
    const err: unknown = await exportPair(fixture.store("a"), "Win11", out, { logger: silentLogger }).catch(
      (e: unknown) => e,
    );
    expect(isAppError(err, "ERR_IMAGE_EXISTS")).toBe(true);
    expect(await readFile(join(out, "Win11_1.ckm"), "utf8")).toBe("other");
  });

  it("rebuilds at the next check the disk for which there was no room", async () => {
    await fixture.once("a", { policy: "auto" });
    const folder = join(fixture.store("a"), "images/Win11");
    await fixture.publish(2, 4, { changed: 2 });
    // Nothing can be renamed over a folder that is not empty.
    await mkdir(join(folder, "Win11_2.img/in-the-way"), { recursive: true });
    const client = await fixture.client("a", { once: false, materialize: "original" });
    client.check();
    await vi.waitFor(() => expect(versionOf(client.status(), 2).error).toBeDefined(), { timeout: 20_000 });
    expect(versionOf(client.status(), 2).state).toBe("verified");
    await rm(join(folder, "Win11_2.img"), { recursive: true });
    client.check();
    await vi.waitFor(() => expect(versionOf(client.status(), 2).state).toBe("active"), { timeout: 20_000 });
    expect(versionOf(client.status(), 2).error).toBeUndefined();
  });
});
