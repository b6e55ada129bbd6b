import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { copyFile, mkdir, open, readFile, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ClientConfig, callLocalApi, importIntoStore } from "@ckmesh/client";
import { silentLogger, toHex } from "@ckmesh/core";
import { systemClock } from "@ckmesh/runtime";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { countedBytes, Fixture, versionOf } from "./client-fixture.js";
import { isLookAt } from "./static-origin.js";

const PACK = "Win11_1.ckm";
const INDEX = "Win11_1.ckm.index";
/** More than two frames never take: what one damaged place costs at most. */
const TWO_FRAMES = 2 * 80 * 1024;
/** Somebody else's key. */
const STRANGER = "ab".repeat(32);

describe("a pair at hand", () => {
  let fixture: Fixture;
  let usb: string;
  beforeEach(async () => {
    fixture = await Fixture.create();
    usb = join(fixture.dir, "usb");
    await mkdir(usb);
  });
  afterEach(() => fixture.close());

  const copyThere = (file: string): Promise<void> =>
    copyFile(join(fixture.dir, "www", file), join(usb, file));
  /** As if nobody had written to it for a while. */
  const rest = (file: string): Promise<void> => utimes(join(usb, file), 0, 0);
  const stage = async (version = 1): Promise<void> => {
    for (const file of [`Win11_${version}.ckm`, `Win11_${version}.ckm.index`]) {
      await copyThere(file);
      await rest(file);
    }
  };
  const flip = async (file: string, at: number): Promise<void> => {
    const handle = await open(join(usb, file), "r+");
    const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, at);
    await handle.write(Buffer.from([(buffer[0] ?? 0) ^ 1]), 0, 1, at);
    await handle.close();
    await rest(file);
  };
  const beyondHeads = (): readonly string[] =>
    fixture.origin.served.filter((name) => !isLookAt("Win11", name));
  const cutOff = (): void => {
    fixture.origin.fault = (request) => {
      request.destroy();
      return true;
    };
  };

  describe("in the pre-stage folder", () => {
    it("is all that a client needs besides the head", async () => {
      await fixture.publish(1, 4);
      await stage();
      const version = versionOf(await fixture.once("a", { preStage: usb }), 1);
      expect(version).toMatchObject({ state: "active", bytes: { host: version.needed, origin: 0 } });
      expect(await fixture.isIdentical("a", 1)).toBe(true);
      expect(beyondHeads()).toEqual([]);
    });

    it("costs of the origin, where it is damaged, the damaged rows only", async () => {
      await fixture.publish(1, 4);
      await stage();
      await flip(PACK, 1_000_000);
      await flip(INDEX, 5000);
      const version = versionOf(await fixture.once("a", { preStage: usb }), 1);
      expect(await fixture.isIdentical("a", 1)).toBe(true);
      expect(countedBytes(version)).toBe(version.needed);
      expect(version.bytes.origin).toBeLessThan(TWO_FRAMES);
    });

    it("gives what it has where it ends half way", async () => {
      await fixture.publish(1, 4);
      await stage();
      await truncate(join(usb, PACK), 1_000_000);
      await rest(PACK);
      const version = versionOf(await fixture.once("a", { preStage: usb }), 1);
      expect(await fixture.isIdentical("a", 1)).toBe(true);
      expect(version.bytes.host).toBeGreaterThan(900_000);
      expect(countedBytes(version)).toBe(version.needed);
    });

    it("of another version gives the frames that did not change", async () => {
      await fixture.publish(1, 4);
      await stage();
      await fixture.publish(2, 4, { changed: 1 });
      const version = versionOf(await fixture.once("a", { preStage: usb }), 2);
      expect(await fixture.isIdentical("a", 2)).toBe(true);
      expect(countedBytes(version)).toBe(version.needed);
      expect(version.bytes.host).toBeGreaterThan(0.7 * version.needed);
    });

    it("is waited for while somebody copies it there", async () => {
      await fixture.publish(1, 4);
      await copyThere(PACK); // the index follows
      const client = await fixture.client("a", { preStage: usb, once: false });
      await vi.waitFor(() => expect(versionOf(client.status(), 1).state).toBe("fetching"), {
        timeout: 20_000,
      });
      await stage();
      client.check();
      await vi.waitFor(() => expect(versionOf(client.status(), 1).state).toBe("active"), { timeout: 20_000 });
      expect(versionOf(client.status(), 1).bytes.origin).toBe(0);
      expect(beyondHeads()).toEqual([]);
    });

    it("helps a version, too, that was begun before it came", async () => {
      await fixture.publish(1, 4);
      fixture.origin.fault = (_request, response, name) => {
        if (isLookAt("Win11", name)) return false;
        response.writeHead(503).end();
        return true;
      };
      const client = await fixture.client("a", { preStage: usb, once: false });
      await vi.waitFor(() => expect(versionOf(client.status(), 1).error).toBeDefined(), { timeout: 20_000 });
      await stage();
      client.check();
      await vi.waitFor(() => expect(versionOf(client.status(), 1).state).toBe("active"), { timeout: 20_000 });
      expect(versionOf(client.status(), 1).bytes.origin).toBe(0);
    });

    it("counts without the origin if a configured publisher signed it, and only then", async () => {
      const key = generateKeyPairSync("ed25519");
      await fixture.publish(1, 4, { signer: key.privateKey });
      await stage();
      // Nobody speaks TLS there.
      const origin = fixture.origin.url.replace("http:", "https:");
      const trusting = { preStage: usb, origin, publishers: [publicKeyOf(key.publicKey)] };
      const version = versionOf(await fixture.once("a", trusting), 1);
      expect(version.state).toBe("active");
      expect(version.swarming, "its secret may have been read by others").toContain("https");
      const away = { code: "ERR_ORIGIN_UNREACHABLE" };
      await expect(fixture.once("b", { ...trusting, publishers: [STRANGER] })).rejects.toMatchObject(away);
      await expect(fixture.once("c", { ...trusting, publishers: [] })).rejects.toMatchObject(away);
    });
  });

  describe("imported", () => {
    it("becomes active in a running client that cannot reach its origin", async () => {
      await fixture.publish(1, 4);
      await stage();
      cutOff();
      const client = await fixture.client("a", { once: false, policy: "manual" });
      const answer = await callLocalApi(fixture.store("a"), { command: "import", folder: usb });
      expect(answer).toEqual([{ image: "Win11", version: 1, result: "begun" }]);
      await vi.waitFor(() => expect(versionOf(client.status(), 1).state).toBe("active"), { timeout: 20_000 });
      expect(await fixture.isIdentical("a", 1)).toBe(true);
      expect(versionOf(client.status(), 1).importing).toBeUndefined();
      const again = await callLocalApi(fixture.store("a"), { command: "import", folder: usb });
      expect(again).toEqual([{ image: "Win11", version: 1, result: "here" }]);
    });

    it("is refused by a client: older than what was verified, of an image not followed, not signed", async () => {
      await fixture.publish(1, 2);
      await fixture.publish(2, 2, { changed: 2 });
      await stage(1);
      await fixture.once("a");
      const refusal = async (store: string, config: Partial<ClientConfig>): Promise<unknown> => {
        await fixture.client(store, { once: false, ...config });
        return await callLocalApi(fixture.store(store), { command: "import", folder: usb });
      };
      expect(await refusal("a", {})).toMatchObject([{ error: { code: "ERR_VERSION_REFUSED" } }]);
      expect(await refusal("b", { images: ["Linux"] })).toMatchObject([
        { error: { code: "ERR_IMAGE_NOT_FOUND" } },
      ]);
      expect(await refusal("c", { publishers: [STRANGER] })).toMatchObject([
        { error: { code: "ERR_SIGNATURE_INVALID" } },
      ]);
    });

    it("into the store of a stopped client, is what that begins with", async () => {
      await fixture.publish(1, 4);
      await stage();
      const deps = { logger: silentLogger, clock: systemClock };
      await flip(PACK, 1_000_000);
      const damaged = await importIntoStore(fixture.store("a"), usb, deps);
      expect(damaged).toMatchObject([{ version: 1, result: "incomplete" }]);
      expect(damaged[0]?.missingBytes).toBeLessThan(TWO_FRAMES);
      await stage();
      expect(await importIntoStore(fixture.store("a"), usb, deps)).toMatchObject([{ result: "complete" }]);
      expect(await importIntoStore(fixture.store("a"), usb, deps)).toMatchObject([{ result: "here" }]);
      const version = versionOf(await fixture.once("a"), 1);
      expect(version).toMatchObject({ state: "active", bytes: { host: version.needed } });
      expect(beyondHeads()).toEqual([]);
    });

    it("is made whole with what another version in the folder has in common with it", async () => {
      await fixture.publish(1, 4);
      await fixture.publish(2, 4, { changed: 1 });
      await stage(1);
      await stage(2);
      const { length } = await readFile(join(usb, "Win11_2.ckm"));
      await truncate(join(usb, "Win11_1.ckm"), length - 100_000); // what is left helps all the same
      for (const at of [100_000, 1_500_000, 2_500_000]) await flip("Win11_2.ckm", at);
      const deps = { logger: silentLogger, clock: systemClock };
      const imported = await importIntoStore(fixture.store("a"), usb, deps);
      expect(imported).toEqual([{ image: "Win11", version: 2, result: "complete" }]);
      expect(await fixture.isIdentical("a", 2)).toBe(true);
    });

    it("is the newest whose index can be read, and what was passed over is named", async () => {
      await fixture.publish(1, 2);
      await stage();
      await writeFile(join(usb, "Win11_2.ckm"), "half a pack");
      await writeFile(join(usb, "Win11_2.ckm.index"), "half an index");
      const deps = { logger: silentLogger, clock: systemClock };
      const passedOver = ["Win11_2.ckm.index"];
      expect(await importIntoStore(fixture.store("a"), usb, deps)).toEqual([
        { image: "Win11", version: 1, result: "complete", passedOver },
      ]);
      await fixture.client("b", { once: false });
      expect(await callLocalApi(fixture.store("b"), { command: "import", folder: usb })).toMatchObject([
        { version: 1, passedOver },
      ]);
    });

    it("into the store of a stopped client, counts for nothing if its publishers did not sign it", async () => {
      await fixture.publish(1, 4);
      await stage();
      await importIntoStore(fixture.store("a"), usb, { logger: silentLogger, clock: systemClock });
      cutOff();
      const client = await fixture.client("a", { once: false, publishers: [STRANGER] });
      client.check();
      await vi.waitFor(() => expect(client.status().lastError).toBeDefined(), { timeout: 20_000 });
      expect(client.status().images).toMatchObject([{ versions: [] }]);
    });
  });
});

function publicKeyOf(key: KeyObject): string {
  return toHex(key.export({ format: "der", type: "spki" }).subarray(-32));
}
