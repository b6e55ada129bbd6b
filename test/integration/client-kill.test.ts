import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { countedBytes, Fixture, versionOf } from "./client-fixture.js";

const MAIN = fileURLToPath(new URL("../../packages/cli/bundle/bin/ckmesh.js", import.meta.url));
const SPAN_BYTES = 2 * 1024 * 1024;

describe.skipIf(!existsSync(MAIN))("client that is killed", () => {
  let fixture: Fixture;
  let child: ChildProcess | undefined;
  beforeEach(async () => {
    fixture = await Fixture.create();
  });
  afterEach(async () => {
    child?.kill("SIGKILL");
    await fixture.close();
  });

  it("goes on after kill -9 with all but one span, and counts every byte once", async () => {
    await fixture.publish(1, 32);
    const partial = join(fixture.store("a"), "images/Win11/Win11_1.ckm.partial");
    child = spawn(
      process.execPath,
      // 40 Mbit/s: the kill falls into the transfer.
      [
        MAIN,
        "client",
        "run",
        "--origin",
        fixture.origin.url,
        "--store",
        fixture.store("a"),
        "--image",
        "Win11",
        "--once",
        "--wan-budget",
        "40M",
      ],
      { stdio: "ignore" },
    );
    await vi.waitFor(async () => expect((await stat(partial)).blocks * 512).toBeGreaterThan(3 * SPAN_BYTES), {
      timeout: 30_000,
      interval: 20,
    });
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
    const before = fixture.origin.bytes;
    const version = versionOf(await fixture.once("a"), 1);
    expect(await fixture.isIdentical("a", 1)).toBe(true);
    expect(countedBytes(version)).toBe(version.needed);
    expect(version.bytes.origin).toBe(version.needed);
    // All that was sent twice: the span under way when it was killed, and the head.
    expect(fixture.origin.bytes).toBeLessThan(version.needed + SPAN_BYTES + 70_000 + 2 * 4096);
    expect(fixture.origin.bytes - before).toBeLessThan(version.needed - 2 * SPAN_BYTES);
  });
});
