import { createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

// Child of bits-upload-bench.ts: the plainest server in Node that writes what is PUT to a folder; /synced is answered when
// it is on the disk.
const folder = process.argv[2] ?? ".";
const server = createServer((request, response) => {
  const path = join(folder, "put.bin");
  const received = pipeline(request, createWriteStream(path));
  (request.url === "/synced" ? received.then(() => sync(path)) : received).then(
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

async function sync(path: string): Promise<void> {
  const file = await open(path, "r+");
  await file.sync();
  await file.close();
}
