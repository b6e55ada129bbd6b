import { createServer } from "node:http";
import { type Logger, silentLogger } from "@ckmesh/core";
import { createMetrics, systemClock } from "@ckmesh/runtime";
import { startTracker } from "@ckmesh/tracker";
import { MAX_TRACKER_MESSAGE_BYTES } from "@ckmesh/wire";
import { WebSocketServer } from "ws";

/** The servers that tracker-bench.ts compares, each in a process of its own; driven over Node's IPC channel. */
async function serve(kind: string): Promise<void> {
  const port = kind === "tracker" ? await serveTracker() : await serveJson();
  process.on("message", () => {
    globalThis.gc?.();
    const cpu = process.cpuUsage();
    process.send?.({ rss: process.memoryUsage().rss, cpuUs: cpu.user + cpu.system });
  });
  process.on("disconnect", () => process.exit(0));
  process.send?.({ port });
}

async function serveTracker(): Promise<number> {
  const tracker = await startTracker(
    {
      listen: "127.0.0.1:0",
      open: true,
      limits: {
        maxConnections: 100_000,
        maxConnectionsPerAddress: 100_000,
        maxSwarmsPerPeer: 64,
        maxReports: 1_000,
      },
    },
    { logger: warnings(), metrics: await createMetrics({ processMetrics: false }), clock: systemClock },
  );
  return Number(new URL(tracker.urls[0] ?? "").port);
}

/** The baseline: ws with the same settings, JSON, and an answer of as many peers as the tracker gives. */
async function serveJson(): Promise<number> {
  const peers = Array.from({ length: 19 }, (_, i) => ["127.0.0.1", 10_000 + i]);
  const server = createServer();
  const wss = new WebSocketServer({
    server,
    maxPayload: MAX_TRACKER_MESSAGE_BYTES,
    perMessageDeflate: false,
    clientTracking: false,
  });
  wss.on("connection", (socket) => {
    socket.on("error", () => socket.terminate());
    socket.on("message", (data) => {
      const message: unknown = JSON.parse(data instanceof Buffer ? data.toString("utf8") : "{}");
      const swarm =
        typeof message === "object" && message !== null && "swarm" in message ? message.swarm : "";
      socket.send(Buffer.from(JSON.stringify({ type: "peers", swarm, peers, complete: true })));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** A bench in which the tracker refuses somebody is void: say so. */
function warnings(): Logger {
  const loud: Logger = {
    ...silentLogger,
    warn: (fields, message) => process.stderr.write(`${message} ${JSON.stringify(fields)}\n`),
    child: () => loud,
  };
  return loud;
}

await serve(process.argv[2] ?? "tracker");
