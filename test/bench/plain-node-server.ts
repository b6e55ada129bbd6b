import { createReadStream, readFileSync, statSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";

// Child of bits-bench.ts: the plainest file server in Node, with ranges, told to its parent when ready.
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
const server =
  cert === undefined || key === undefined
    ? createServer(answer)
    : createTlsServer(
        // The cipher that the origin prefers.
        { cert: readFileSync(cert), key: readFileSync(key), ciphers: "TLS_AES_128_GCM_SHA256" },
        answer,
      );
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  process.send?.({ urls: [`${cert === undefined ? "http" : "https"}://127.0.0.1:${port}`] });
});
process.on("disconnect", () => {
  process.exit(0);
});
