import assert from "node:assert";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { callLocalApi, type RunningClient } from "@ckmesh/client";
import { MIB, parseRangeHeader } from "@ckmesh/core";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Fixture, versionOf } from "./client-fixture.js";

let fixture: Fixture;
let client: RunningClient;
beforeEach(async () => {
  fixture = await Fixture.create();
  await fixture.publish(1, 1);
  await fixture.once("a");
});
afterEach(() => fixture.close());

const pipe = (): string => join(fixture.dir, "pipe");
const asked = (): string => join(fixture.dir, "asked");
const stateOf = (version: number): string => versionOf(client.status(), version).state;
const active = (): number | undefined => client.status().images[0]?.active;
const until = (isSo: () => boolean): Promise<void> =>
  vi.waitFor(() => assert(isSo()), { timeout: 20_000, interval: 20 });

describe("a version that comes while the one before is on its way to being active", () => {
  // The hook consents to version 2 when somebody has written to the pipe.
  beforeEach(async () => {
    const hook = join(fixture.dir, "hook.sh");
    execFileSync("mkfifo", [pipe()]);
    const script = `#!/bin/sh\ntest "$2" = 2 || exit 0\n: > ${asked()}\nexec cat ${pipe()}\n`;
    writeFileSync(hook, script, { mode: 0o755 });
    await fixture.publish(2, 1, { changed: 2 });
    client = await fixture.client("a", { once: false, consentHook: hook });
    client.check();
    await until(() => existsSync(asked()));
    // It comes while version 2 is on its way to being active.
    await fixture.publish(3, 1, { changed: 3 });
    client.check();
    await until(() => stateOf(3) === "verified");
  });

  it("is fetched at once, and becomes active after it", async () => {
    expect([stateOf(2), active()]).toEqual(["staged", 1]);
    writeFileSync(pipe(), "yes");
    await until(() => active() === 3);
    expect(stateOf(2)).toBe("superseded");
  });

  it("does not become active when somebody rolls back, nor does the one before", async () => {
    await callLocalApi(fixture.store("a"), { command: "rollback", image: "Win11", version: 1 });
    let looks = 0;
    fixture.origin.fault = (_, __, name) => {
      if (name === "Win11.ckm.index") looks += 1;
      return false;
    };
    // The second look begins when the first is over.
    for (const count of [1, 2]) {
      client.check();
      await until(() => looks === count);
    }
    expect(active()).toBe(1);
    expect([stateOf(2), stateOf(3)]).not.toContain("active");
  });
});

it("a version that is still being fetched gives way to a newer one, and lends it the frames that have come", async () => {
  const frames = 24;
  const content = { renewed: frames, edited: frames - 1, like: 2 };
  await fixture.publish(2, 3, content);
  // Nothing comes of what lies behind the first frames of its pack.
  const open = 6 * 65_536;
  fixture.origin.fault = (request, response, name) => {
    if (name !== "Win11_2.ckm") return false;
    const [part] = parseRangeHeader(request.headers.range ?? "", 3 * MIB) ?? [];
    if (part === undefined || part.last < open) return false;
    if (part.first < open) {
      const bytes = readFileSync(join(fixture.dir, "www", name));
      const range = `bytes ${part.first}-${part.last}/${bytes.length}`;
      response.writeHead(206, { "content-range": range, "content-length": part.last - part.first + 1 });
      response.write(bytes.subarray(part.first, open));
    }
    return true;
  };
  client = await fixture.client("a", { once: false });
  client.check();
  await until(() => versionOf(client.status(), 2).bytes.origin > 5 * 65_536);
  // One frame is another one than in version 2.
  await fixture.publish(3, 3, { ...content, settled: 1 });
  client.check();
  await until(() => active() === 3);
  expect(versionOf(client.status(), 3).bytes.origin).toBeLessThan((frames - 3) * 65_536);
  expect(client.status().images[0]?.versions.map(({ version }) => version)).toEqual([3, 1]);
});
