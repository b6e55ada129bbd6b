import { createServer } from "node:net";
import { type Finding, runDoctor } from "@ckmesh/client";
import { type Clock, seededRandom, silentLogger } from "@ckmesh/core";
import { systemClock } from "@ckmesh/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Fixture } from "./client-fixture.js";

let fixture: Fixture;
const closers: (() => unknown)[] = [];
beforeEach(async () => {
  fixture = await Fixture.create();
});
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
  await fixture.close();
});

type Options = Partial<Parameters<typeof runDoctor>[0]>;

/** Runs it to its end; results by check. */
async function examine(options: Options = {}): Promise<ReadonlyMap<string, Finding>> {
  const told: Finding[] = [];
  const findings = await runDoctor({
    url: fixture.origin.url,
    access: {},
    image: "Win11",
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
    signal: new AbortController().signal,
    onFinding: (finding) => told.push(finding),
    ...options,
  });
  expect(told).toEqual(findings);
  return new Map(findings.map((finding) => [finding.check, finding]));
}

describe("the doctor of a stock web server", () => {
  it("finds nothing to change but plain http", async () => {
    await fixture.publish(1, 4);
    const findings = await examine();
    const notOk = [...findings.values()].filter(({ status }) => status !== "ok").map(({ check }) => check);
    expect(notOk).toEqual(["tls", "tags"]);
    expect(findings.get("index")?.message).toContain("version 1 of Win11");
  });

  it("names the missing MIME type where the index is there and the pack is not", async () => {
    await fixture.publish(1, 4);
    fixture.origin.fault = (_, response, name) => {
      if (!name.endsWith(".ckm")) return false;
      response.writeHead(404).end();
      return true;
    };
    expect((await examine()).get("pack")).toMatchObject({
      status: "failed",
      code: "ERR_IMAGE_NOT_FOUND",
      advice: expect.stringContaining("404.3"),
    });
  });

  it("asks for the image by name where there is no catalogue", async () => {
    const { url } = fixture.origin;
    const findings = await runDoctor({
      url,
      access: {},
      clock: systemClock,
      random: seededRandom(1),
      logger: silentLogger,
      signal: new AbortController().signal,
      onFinding: () => {},
    });
    expect(findings.at(-1)).toMatchObject({ check: "catalogue", status: "skipped" });
  });

  it("stops at a redirect, and goes to no other server", async () => {
    fixture.origin.fault = (_, response) => {
      response.writeHead(301, { location: "https://elsewhere.invalid/x" }).end();
      return true;
    };
    const findings = await examine();
    expect(findings.get("redirect")?.message).toContain("https://elsewhere.invalid/x");
    expect([...findings.keys()].at(-1)).toBe("redirect");
  });

  it("tries a refused password once, whatever methods there are, and asks for no ticket with it", async () => {
    let tries = 0;
    fixture.origin.fault = (request, response) => {
      if (request.headers.authorization?.startsWith("Basic ") === true) tries += 1;
      response.writeHead(401, { "www-authenticate": ["Basic realm=x"] }).end();
      return true;
    };
    const findings = await examine({
      access: { credentials: { user: "u", password: "p" }, allowBasicOverHttp: true },
      tracker: "ws://127.0.0.1:1/",
    });
    expect(tries).toBe(1);
    expect(findings.get("logon")).toMatchObject({ status: "failed", code: "ERR_AUTH_REQUIRED" });
    expect(findings.get("tracker")?.status).toBe("skipped");
  });

  it("ends in bounded time where a server takes connections and says nothing", async () => {
    const mute = createServer((socket) => {
      closers.push(() => socket.destroy());
    });
    await new Promise<void>((resolve) => {
      mute.listen(0, "127.0.0.1", resolve);
    });
    closers.push(() => mute.close());
    const address = mute.address();
    const port = typeof address === "object" ? address?.port : 0;
    const hasty: Clock = { ...systemClock, after: (ms, run) => systemClock.after(ms / 100, run) };
    const findings = await examine({ url: `http://127.0.0.1:${port}/x`, clock: hasty });
    expect(findings.get("methods")).toMatchObject({ status: "failed", code: "ERR_TIMEOUT" });
  });

  it("says of a tracker that is not there what is wrong, and fails", async () => {
    await fixture.publish(1, 4);
    const finding = (await examine({ tracker: "ws://127.0.0.1:1/" })).get("tracker");
    expect(finding).toMatchObject({ status: "failed", message: expect.stringContaining("ECONNREFUSED") });
  });

  it("ends when it is aborted", async () => {
    const abort = new AbortController();
    fixture.origin.fault = () => {
      abort.abort();
      return true;
    };
    await expect(examine({ signal: abort.signal })).rejects.toMatchObject({ code: "ERR_ABORTED" });
  });
});
