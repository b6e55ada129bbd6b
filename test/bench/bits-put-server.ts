import { createWriteStream } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

// Child of bits-upload-bench.ts: the plainest server in Node that writes what is PUT to a folder.
const folder = process.argv[2] ?? ".";
const server = createServer((request, response) => {
  pipeline(request, createWriteStream(join(folder, "put.bin"))).then(
    () => response.writeHead(201, { "Content-Length": 0 }).end(),
    (err: unknown) => {
      process.stderr.write(`${String(err)}\n`);
      response.destroy();
    },
  );
});
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (typeof address === "object") process.send?.({ port: address?.port });
});
process.on("disconnect", () => {
  process.exit(0);
});
