import { once } from "node:events";
import { createServer } from "node:http";
import { seededRandom, silentLogger } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { type OutcomeNews, OutcomeReporter } from "../../src/rollout/outcome-reporter.js";

const CLIENT = "ab".repeat(32);
const ACTIVE: OutcomeNews = { image: "Win11", version: 2, outcome: "active" };

interface Setup {
  readonly reporter: OutcomeReporter;
  readonly clock: VirtualClock;
  readonly bodies: unknown[];
  /** Of the next answers. */
  status: number;
}

async function start(status = 204): Promise<Setup> {
  const bodies: unknown[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const { method, url, headers } = request;
      expect([method, url, headers["x-ckmesh"]]).toEqual(["POST", "/ckmesh/api/outcome", "1"]);
      bodies.push(JSON.parse(Buffer.concat(parts).toString()));
      response.writeHead(setup.status).end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const clock = new VirtualClock();
  const link = { baseUrl: `http://127.0.0.1:${port}/MEDVImages`, clock };
  const reporter = new OutcomeReporter({
    link,
    client: CLIENT,
    clock,
    random: seededRandom(1),
    logger: silentLogger,
  });
  const setup: Setup = { reporter, clock, bodies, status };
  onTestFinished(async () => {
    await reporter.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return setup;
}

describe("OutcomeReporter", () => {
  it("tells the last word about a version, within a minute", async () => {
    const { reporter, clock, bodies } = await start();
    reporter.report({ ...ACTIVE, outcome: "verified" });
    reporter.report({ ...ACTIVE, outcome: "failed", code: "ERR_PACK_INVALID" });
    expect(bodies).toEqual([]);
    clock.advance(60_000);
    await vi.waitFor(() => expect(bodies).toHaveLength(1));
    expect(bodies[0]).toEqual({ client: CLIENT, ...ACTIVE, outcome: "failed", code: "ERR_PACK_INVALID" });
    await reporter.flush();
    expect(bodies).toHaveLength(1);
  });

  it("tells it again while the origin is too busy to hear it", async () => {
    const setup = await start(503);
    setup.reporter.report(ACTIVE);
    await setup.reporter.flush();
    setup.status = 204;
    await setup.reporter.flush();
    await setup.reporter.flush();
    expect(setup.bodies).toHaveLength(2);
  });

  it("tells a server nothing more that does not know the path", async () => {
    const { reporter, bodies } = await start(404);
    reporter.report(ACTIVE);
    reporter.report({ ...ACTIVE, version: 3 });
    await reporter.flush();
    reporter.report({ ...ACTIVE, version: 4 });
    await reporter.flush();
    expect(bodies).toHaveLength(1);
  });
});
