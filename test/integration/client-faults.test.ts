import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { copyFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ClientConfig } from "@ckmesh/client";
import { isAppError } from "@ckmesh/core";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { countedBytes, Fixture, versionOf } from "./client-fixture.js";
import { fillUp } from "./fill-up.js";
import { isLookAt } from "./static-origin.js";

describe("client and a troubled origin", () => {
  let fixture: Fixture;
  beforeEach(async () => {
    fixture = await Fixture.create();
  });
  afterEach(() => fixture.close());

  /** The error with which a client with --once ends. */
  const failure = async (store: string, config: Partial<ClientConfig> = {}): Promise<unknown> =>
    fixture.once(store, config).catch((err: unknown) => err);

  it("goes on where a transfer was cut, and counts what that cost", async () => {
    await fixture.publish(1, 8);
    let cuts = 0;
    let cutBytes = 0;
    fixture.origin.fault = (_request, response, name) => {
      if (name !== "Win11_1.ckm" || cuts >= 2) return false;
      cuts += 1;
      const end = response.end.bind(response);
      response.end = (chunk?: unknown) => {
        if (chunk instanceof Uint8Array) {
          const half = chunk.subarray(0, Math.floor(chunk.length / 2));
          cutBytes += chunk.length - half.length;
          response.write(half, () => response.destroy());
        } else end();
        return response;
      };
      return false;
    };
    const version = versionOf(await fixture.once("a"), 1);
    expect(cuts).toBe(2);
    expect(await fixture.isIdentical("a", 1)).toBe(true);
    expect(countedBytes(version)).toBe(version.needed);
    expect(version.wasted.retried).toBe(version.wasted.origin);
    expect(version.bytes.origin + version.wasted.origin).toBe(fixture.origin.bytes - cutBytes - 4096);
  });

  it("stores nothing of a frame that is not what the head says, and says so", async () => {
    await fixture.publish(1, 8);
    await corrupt(join(fixture.dir, "www", "Win11_1.ckm"), 3_000_000);
    const err = await failure("a");
    expect(isAppError(err, "ERR_FRAME_HASH_MISMATCH") && err.message).toContain("publish the pair again");
    await expect(readFile(join(fixture.store("a"), "images/Win11/Win11_1.ckm"))).rejects.toThrow("ENOENT");
  });

  it("stays on the alias where a server has no version urls", async () => {
    await fixture.publish(1, 8);
    fixture.origin.fault = (_request, response, name) => {
      if (!/_\d/.test(name)) return false;
      response.writeHead(404).end();
      return true;
    };
    const version = versionOf(await fixture.once("a"), 1);
    expect(version.state).toBe("active");
    expect(await fixture.isIdentical("a", 1)).toBe(true);
  });

  it("starts again from the head when the alias moves under it", async () => {
    await fixture.publish(1, 8);
    await fixture.publish(2, 8, { changed: 3 });
    fixture.origin.publish("Win11", 1);
    let packs = 0;
    fixture.origin.fault = (_request, response, name) => {
      if (name === "Win11.ckm" && ++packs === 3) fixture.origin.publish("Win11", 2);
      if (!/_\d/.test(name)) return false;
      response.writeHead(404).end();
      return true;
    };
    const status = await fixture.once("a", { images: ["Win11"] });
    expect(versionOf(status, 2).state).toBe("active");
    expect(await fixture.isIdentical("a", 2)).toBe(true);
  });

  it("names its site and the span in every range request for rows", async () => {
    await fixture.publish(1, 8);
    const sites = new Set<unknown>();
    const spans = new Set<number>();
    fixture.origin.fault = ({ headers }, _response, name) => {
      sites.add(headers["x-ckmesh-site"]);
      if (name === "Win11_1.ckm") spans.add(Number(headers["x-ckmesh-span"]));
      return false;
    };
    await fixture.once("a", { site: "Köln 2" });
    expect([...sites]).toEqual(["K%C3%B6ln%202"]);
    const numbers = [...spans].toSorted((a, b) => a - b);
    const [first = Number.NaN] = numbers;
    // Half of the disk's 8 MiB does not compress: a few spans, one after the other on their grid.
    expect(numbers.length).toBeGreaterThanOrEqual(2);
    expect(numbers).toEqual(numbers.map((_, i) => first + i));
  });

  it("waits as long as the origin says", async () => {
    await fixture.publish(1, 4);
    let refused = 0;
    fixture.origin.fault = (_request, response, name) => {
      if (name !== "Win11_1.ckm" || ++refused > 1) return false;
      response.writeHead(503, { "retry-after": "1" }).end();
      return true;
    };
    expect(versionOf(await fixture.once("a"), 1).state).toBe("active");
    expect(refused).toBeGreaterThan(1);
  });

  it("counts as waste what a server without ranges sends beside the rows", async () => {
    await fixture.publish(1, 16);
    let sent = 0;
    fixture.origin.fault = (_request, response, name) => {
      if (name !== "Win11_1.ckm") return false;
      const bytes = readFileSync(join(fixture.dir, "www", name));
      response.writeHead(200, { "content-length": bytes.length });
      sent += bytes.length;
      response.end(bytes);
      return true;
    };
    const version = versionOf(await fixture.once("a"), 1);
    expect(await fixture.isIdentical("a", 1)).toBe(true);
    expect(countedBytes(version)).toBe(version.needed);
    expect(sent).toBeGreaterThan(2 * version.needed);
    expect(version.wasted.origin).toBeGreaterThan(version.needed / 2);
  });

  it("asks again within seconds while it has nothing, also after a start on the empty store", async () => {
    await fixture.publish(1, 1);
    let asked = 0;
    fixture.origin.fault = (_request, response, name) => {
      if (name !== "Win11.ckm.index") return false;
      asked += 1;
      if (asked > 1) return false;
      response.writeHead(503, { "retry-after": "1" }).end();
      return true;
    };
    await failure("a");
    expect(asked).toBe(1);
    asked = 0;
    const client = await fixture.client("a", { once: false });
    await vi.waitFor(() => expect(versionOf(client.status(), 1).state).toBe("active"), {
      timeout: 20_000,
      interval: 50,
    });
    expect(asked).toBe(2);
  });

  it("resumes with --once from a peer although the run before ended with an error of the origin", async () => {
    await fixture.publish(1, 8);
    const source = await fixture.client("b", { once: false, allowOpenSwarm: true });
    await vi.waitFor(() => expect(versionOf(source.status(), 1).state).toBe("active"), { timeout: 20_000 });
    fixture.origin.fault = (_request, response, name) => {
      if (isLookAt("Win11", name)) return false;
      response.writeHead(500).end();
      return true;
    };
    const first = await fixture.client("a", { once: false });
    await vi.waitFor(() => expect(versionOf(first.status(), 1).error).toBeDefined(), { timeout: 20_000 });
    await first.close();
    fixture.origin.fault = (_request, response) => {
      response.writeHead(500).end();
      return true;
    };
    await fixture.remember("a", source.peerPort);
    const version = versionOf(await fixture.once("a", { allowOpenSwarm: true }), 1);
    expect(version.bytes.peers).toBeGreaterThan(0);
    expect(await fixture.isIdentical("a", 1)).toBe(true);
  });

  it("refuses a version below the highest that it verified", async () => {
    await fixture.publish(1, 4);
    await fixture.publish(2, 4, { changed: 1 });
    await fixture.once("a");
    fixture.origin.publish("Win11", 1);
    const err = await failure("a");
    expect(isAppError(err, "ERR_VERSION_REFUSED") && err.message).toContain("version 3");
  });

  it("refuses another version of the same number", async () => {
    await fixture.publish(1, 4);
    await fixture.once("a");
    await rename(join(fixture.dir, "www"), join(fixture.dir, "old"));
    await mkdir(join(fixture.dir, "www"));
    await fixture.publish(1, 5);
    const err = await failure("a");
    expect(isAppError(err, "ERR_VERSION_REFUSED") && err.message).toContain("a version never changes");
  });

  it("ends with ERR_IMAGE_NOT_FOUND for an image that is not there", async () => {
    expect(isAppError(await failure("a"), "ERR_IMAGE_NOT_FOUND")).toBe(true);
  });

  it("asks for --image where a server has no catalogue", async () => {
    const err = await failure("a", { images: [] });
    expect(isAppError(err, "ERR_CONFIG_INVALID") && err.message).toContain("--image");
  });

  it("refuses an unsigned image where signatures are required", async () => {
    await fixture.publish(1, 4);
    const err = await failure("a", { publishers: ["ab".repeat(32)], signature: "required" });
    expect(isAppError(err, "ERR_SIGNATURE_INVALID")).toBe(true);
  });

  it("refuses an index that was renamed to another image", async () => {
    await fixture.publish(1, 4, { name: "Other" });
    await copyFile(join(fixture.dir, "www/Other_1.ckm.index"), join(fixture.dir, "www/Win11.ckm.index"));
    const err = await failure("a");
    expect(isAppError(err, "ERR_INDEX_INVALID") && err.message).toContain("Other");
  });

  it("says what to do about an index that is none of ours", async () => {
    await writeFile(join(fixture.dir, "www/Win11.ckm.index"), "MED-V's own");
    const err = await failure("a");
    expect(isAppError(err, "ERR_INDEX_INVALID") && err.message).toContain("ckmesh pack");
  });

  it("refuses a second client on one store", async () => {
    await fixture.publish(1, 4);
    const first = await fixture.client("a");
    expect(isAppError(await failure("a"), "ERR_STORE_BUSY")).toBe(true);
    await first.done;
  });

  it("stays resumable on a disk that is full before and during the transfer", async ({ skip }) => {
    const store = fixture.store("small");
    await mkdir(store);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=120m", "none", store], { stdio: "pipe" });
    } catch {
      skip("needs root and tmpfs to make a small disk");
    }
    try {
      await fixture.publish(1, 24);
      await writeFile(join(store, "ballast"), Buffer.alloc(60 << 20));
      const before = await failure("small");
      expect(isAppError(before, "ERR_STORE_FULL") && before.message).toContain("free some space");
      await rm(join(store, "ballast"));
      let packs = 0;
      fixture.origin.fault = (_request, _response, name) => {
        if (name === "Win11_1.ckm" && ++packs === 4) fillUp(join(store, "ballast"));
        return false;
      };
      // Whole spans for each request, so that some have come before the fourth.
      const during = await failure("small", { wanBudget: "off" });
      expect(isAppError(during, "ERR_STORE_FULL")).toBe(true);
      await rm(join(store, "ballast"));
      fixture.origin.fault = undefined;
      const bytes = fixture.origin.bytes;
      const version = versionOf(await fixture.once("small"), 1);
      expect(version.state).toBe("active");
      expect(await fixture.isIdentical("small", 1)).toBe(true);
      expect(fixture.origin.bytes - bytes).toBeLessThan(version.needed - 1_000_000);
    } finally {
      execFileSync("umount", [store]);
    }
  });
});

async function corrupt(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await writeFile(path, bytes);
}
