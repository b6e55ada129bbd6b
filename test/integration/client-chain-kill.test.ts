import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { countedBytes, Fixture, versionOf } from "./client-fixture.js";

const MAIN = fileURLToPath(new URL("../../packages/cli/bundle/bin/ckmesh.js", import.meta.url));
const NEWEST = 4;
const DELTAS = ["Win11_2.from_1.ckm", "Win11_3.from_2.ckm", "Win11_4.from_3.ckm"] as const;
/** What a pack has before its first row. */
const PACK_HEAD_BYTES = 64;

let fixture: Fixture;

/** Version 1 on client "a"; at the origin versions 2 to 4, with a delta from each to the next. */
beforeEach(async () => {
  fixture = await Fixture.create();
  await fixture.publish(1, 4);
  await fixture.once("a", { materialize: "off" });
  for (let version = 2; version <= NEWEST; version++)
    await fixture.publish(version, 4, { edited: 8, settled: 20, deltas: [version - 1] });
});
afterEach(async () => {
  await fixture.close();
});

/** Lets the client run until it asks for rows of this delta, all before it being made, and kills it then. */
async function killBefore(delta: string): Promise<void> {
  const asked = new Promise<void>((resolve) => {
    fixture.origin.fault = (_request, response, name) => {
      if (name !== delta) return false;
      response.writeHead(503, { "retry-after": "60" }).end();
      resolve();
      return true;
    };
  });
  const place = ["--origin", fixture.origin.url, "--store", fixture.store("a"), "--image", "Win11"];
  const child = spawn(process.execPath, [MAIN, "client", "run", ...place, "--once", "--materialize", "off"], {
    stdio: "ignore",
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const gone = once(child, "exit");
  await Promise.race([asked, gone.then(() => Promise.reject(new Error("the client ended by itself")))]);
  child.kill("SIGKILL");
  await gone;
  fixture.origin.fault = undefined;
}

/** Of each delta, the bytes that were sent of its pack since this was last asked. */
function sentOfDeltas(): readonly number[] {
  const sent = DELTAS.map((file) => fixture.origin.bytesOf.get(file) ?? 0);
  fixture.origin.bytesOf.clear();
  return sent;
}

describe.skipIf(!existsSync(MAIN))(
  "a client three versions behind that is killed before each next delta",
  () => {
    it("goes on with what it has made, and fetches nothing twice", async () => {
      const sizes = await Promise.all(
        DELTAS.map(async (file) => (await stat(join(fixture.dir, "www", file))).size - PACK_HEAD_BYTES),
      );
      const [first, second, third] = sizes;
      fixture.origin.bytesOf.clear();
      await killBefore(DELTAS[1]);
      expect(sentOfDeltas()).toEqual([first, 0, 0]);
      await killBefore(DELTAS[2]);
      expect(sentOfDeltas()).toEqual([0, second, 0]);
      const version = versionOf(await fixture.once("a", { materialize: "off" }), NEWEST);
      expect(sentOfDeltas()).toEqual([0, 0, third]);
      expect(version.state).toBe("active");
      expect(await fixture.isIdentical("a", NEWEST)).toBe(true);
      expect(countedBytes(version)).toBe(version.needed);
      const left = await readdir(join(fixture.store("a"), "images", "Win11"));
      expect(left.filter((file) => /from|_2|_3/.test(file))).toEqual([]);
    });
  },
);
