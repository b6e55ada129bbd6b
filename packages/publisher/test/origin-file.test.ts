import { createServer, type RequestListener } from "node:http";
import { OriginCalls } from "@ckmesh/net";
import { systemClock } from "@ckmesh/runtime";
import { describe, expect, it, onTestFinished } from "vitest";
import { OriginFile } from "../src/origin-file.js";

const BYTES = Buffer.from(Uint8Array.from({ length: 10_000_000 }, (_, i) => i % 251));
const TAG = '"one"';

async function serve(answer: RequestListener): Promise<OriginCalls> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("unreachable: it listens at a port");
  const calls = new OriginCalls({
    baseUrl: `http://127.0.0.1:${address.port}/MEDVImages`,
    clock: systemClock,
  });
  onTestFinished(async () => {
    await calls.close();
    await new Promise((resolve) => server.close(resolve));
  });
  return calls;
}

/** Ranges of the file, asked for with its tag; `change` alters an answer. */
function ranges(
  asked: string[],
  change: (status: number, body: Buffer) => readonly [number, Buffer],
): RequestListener {
  return (request, response) => {
    const m = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    if (m === null) {
      response.writeHead(200, { etag: TAG, "content-length": BYTES.length }).end();
      return;
    }
    asked.push(m[0]);
    const [first, last] = [Number(m[1]), Number(m[2])];
    const isSame = request.headers["if-match"] === TAG;
    const [status, body] = change(isSame ? 206 : 412, BYTES.subarray(first, last + 1));
    response.writeHead(status, { "content-range": `bytes ${first}-${last}/${BYTES.length}` }).end(body);
  };
}

/** What comes of opening a file of a server with this one answer. */
async function open(status: number, headers: Record<string, string>): Promise<unknown> {
  const calls = await serve((_request, response) => response.writeHead(status, headers).end());
  return OriginFile.open(calls, "A_1.ckm.index").catch((err: unknown) => err);
}

describe("OriginFile", () => {
  it("reads in parts, each with the tag of the first answer", async () => {
    const asked: string[] = [];
    const calls = await serve(ranges(asked, (status, body) => [status, body]));
    const file = await OriginFile.open(calls, "A_1.ckm.index");
    expect(file.length).toBe(BYTES.length);
    expect(Buffer.compare(await file.read(5, 9_000_000), BYTES.subarray(5, 9_000_005))).toBe(0);
    expect(asked).toEqual(["bytes=5-4194308", "bytes=4194309-8388612", "bytes=8388613-9000004"]);
  });

  it.each<[string, string, (status: number, body: Buffer) => readonly [number, Buffer]]>([
    ["changed", "ERR_ORIGIN_CHANGED", (_status, body) => [412, body]],
    ["went", "ERR_ORIGIN_CHANGED", (_status, body) => [404, body]],
    ["came too short", "ERR_ORIGIN_INVALID", (status, body) => [status, body.subarray(1)]],
    ["came too long", "ERR_ORIGIN_INVALID", (status, body) => [status, Buffer.concat([body, body])]],
    ["came as a whole", "ERR_ORIGIN_INVALID", (_status, body) => [200, body]],
  ])("says when what it reads %s: %s", async (_what, code, change) => {
    const file = await OriginFile.open(await serve(ranges([], change)), "A_1.ckm.index");
    await expect(file.read(0, 100)).rejects.toMatchObject({ code });
  });

  it("does not begin with a file whose length or tag is not known, or that is not there", async () => {
    expect(await open(200, { "content-length": "5" })).toMatchObject({ code: "ERR_ORIGIN_INVALID" });
    expect(await open(200, { "content-length": "5", etag: 'W/"1"' })).toMatchObject({
      code: "ERR_ORIGIN_INVALID",
    });
    expect(await open(404, { etag: TAG })).toMatchObject({ code: "ERR_IMAGE_NOT_FOUND" });
  });
});
