import { createReadStream, readFileSync, statSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { Socket } from "node:net";
import { noMetrics, silentLogger } from "@ckmesh/core";
import { systemClock } from "@ckmesh/runtime";
import { BitsConnections } from "../../packages/origin/src/bits/bits-connections.js";
import { plainEntrance, tlsEntrance } from "../../packages/origin/src/entrance.js";
import { RequestRecorder } from "../../packages/origin/src/request-facts.js";

// Child of bits-bench.ts: the plainest file server in Node, with ranges; with `bits` it receives BITS_POST as the origin
// does. Told to its parent when ready.
const [kind, file = "", cert, key] = process.argv.slice(2);
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
const server =
  cert === undefined || key === undefined
    ? createServer(answer)
    : createTlsServer(
        // The cipher that the origin prefers.
        { cert: readFileSync(cert), key: readFileSync(key), ciphers: "TLS_AES_128_GCM_SHA256" },
        answer,
      );
if (kind === "bits") receiveUploads();
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  process.send?.({ urls: [`${cert === undefined ? "http" : "https"}://127.0.0.1:${port}`] });
});
process.on("disconnect", () => {
  process.exit(0);
});

function receiveUploads(): void {
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
