import { once } from "node:events";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { Socket } from "node:net";
import { noMetrics, silentLogger } from "@ckmesh/core";
import { systemClock } from "@ckmesh/runtime";
import { plainEntrance, tlsEntrance } from "../../packages/origin/src/access/entrance.js";
import { BitsConnections } from "../../packages/origin/src/bits/bits-connections.js";
import { RequestRecorder } from "../../packages/origin/src/listener/request-facts.js";
import { tellCpu } from "./child-cpu.js";

// Child of bits-bench.ts: the plainest file server in Node, with ranges, twice: the second one receives BITS_POST as the
// origin does. One process, so that nothing else is different. Told to its parent when ready.
const [file = "", cert, key] = process.argv.slice(2);
const { size } = statSync(file);
const answer: RequestListener = (request, response) => {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
  const start = Number(first ?? 0);
  const end = last === undefined ? size - 1 : Number(last);
  response.writeHead(first === undefined ? 200 : 206, {
    "Content-Type": "application/octet-stream",
    "Content-Length": end - start + 1,
    ...(first !== undefined && { "Content-Range": `bytes ${start}-${end}/${size}` }),
  });
  createReadStream(file, { start, end }).pipe(response);
};
const scheme = cert === undefined ? "http" : "https";
const servers = [openServer(), openServer()];
receiveUploads(servers[1]);
process.send?.({ urls: await Promise.all(servers.map(listen)) });
tellCpu();
process.on("disconnect", () => {
  process.exit(0);
});

function openServer(): Server {
  if (cert === undefined || key === undefined) return createServer(answer);
  // The cipher that the origin prefers.
  const tls = { cert: readFileSync(cert), key: readFileSync(key), ciphers: "TLS_AES_128_GCM_SHA256" };
  return createTlsServer(tls, answer);
}

async function listen(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return `${scheme}://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
}

function receiveUploads(server: Server | undefined): void {
  if (server === undefined) throw new Error("unreachable: there are two");
  const bits = new BitsConnections(server, {
    handler: async () => ({ status: 200, headers: {} }),
    entrance: cert === undefined ? plainEntrance() : tlsEntrance(),
    recorder: new RequestRecorder({ clock: systemClock, metrics: noMetrics, log: undefined }),
    refreshAccounts: () => undefined,
    isClosing: () => false,
    clock: systemClock,
    logger: silentLogger,
  });
  server.on("request", (request, response) => bits.keep(request.socket, response));
  server.on("clientError", (err: Error & { code?: string }, socket) => {
    if (!(socket instanceof Socket && bits.take(err, socket))) socket.destroy(err);
  });
}
