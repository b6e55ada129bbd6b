import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { notifyProgram } from "../../src/bits/notify-program.js";
import { temporaryFolder } from "../origin-fixture.js";
import { startUploads, type TestUploads } from "./upload-fixture.js";

const FILE = Buffer.from("the uploaded bytes");
const HOST = { host: "images.medv.test:8080" };
const APPLICATION = "0x7";

interface Told {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

type Program = (told: Told, response: ServerResponse) => void;

/** A program that is told of uploads. */
async function startProgram(
  program: Program,
): Promise<{ readonly url: string; readonly told: readonly Told[] }> {
  const told: Told[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method, url, headers } = request;
      const one = { method, url, headers, body: Buffer.concat(chunks).toString() };
      told.push(one);
      program(one, response);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  return { url: `http://127.0.0.1:${port}/handle.asp?ACCOUNT=1`, told };
}

async function uploadsFor(url: string, type: 1 | 2): Promise<TestUploads> {
  return startUploads({
    bits: { BITSServerNotificationType: type, BITSServerNotificationURL: url },
  });
}

function send(uploads: TestUploads, id: string) {
  return uploads.fragment(id, 0, FILE, FILE.length, { headers: HOST });
}

describe("a program that is told of uploads", () => {
  it("is told by reference where the file lies, and the file goes with the session", async () => {
    const { url, told } = await startProgram(({ headers }, response) => {
      const data = readFileSync(String(headers["bits-request-datafile-name"]), "utf8");
      response.writeHead(data === FILE.toString() ? 200 : 500).end();
    });
    const uploads = await uploadsFor(url, 1);
    const id = await uploads.create({ target: "/MEDVImages/win7_1.ckm?JOB=2" });
    const answer = await send(uploads, id);
    expect(answer).toMatchObject({ status: 200, headers: { "BITS-Received-Content-Range": "18" } });
    expect(answer.headers).not.toHaveProperty("BITS-Reply-URL");
    expect(told).toMatchObject([
      {
        method: "POST",
        url: "/handle.asp?ACCOUNT=1&JOB=2",
        headers: {
          "content-length": "0",
          "bits-original-request-url": "http://images.medv.test:8080/MEDVImages/win7_1.ckm?JOB=2",
        },
        body: "",
      },
    ]);
    expect((await uploads.close(id)).status).toBe(200);
    expect(existsSync(uploads.intake.path("win7_1.ckm"))).toBe(false);
    expect(uploads.intake.followed[0]?.ended).toBe("discarded");
  });

  it("is sent the file by value, and its answer is there for the uploader until the session ends", async () => {
    const { url, told } = await startProgram((_, response) => response.end("an answer"));
    const uploads = await uploadsFor(url, 2);
    const id = await uploads.create();
    const key = id.slice(1, -1).toLowerCase();
    const { headers } = await send(uploads, id);
    expect(headers["BITS-Reply-URL"]).toBe(`http://images.medv.test:8080/MEDVImages/bits-reply-${key}`);
    expect(told[0]).toMatchObject({ headers: { "content-length": "18" }, body: FILE.toString() });
    expect(told[0]?.headers).not.toHaveProperty("bits-request-datafile-name");
    const alice = { name: "alice", account: "alice" };
    const reply = await uploads.sessions.findReply(`bits-reply-${key}`, alice);
    expect(readFileSync(reply?.file.path ?? "", "utf8")).toBe("an answer");
    expect(
      await uploads.sessions.findReply(`bits-reply-${key}`, { name: "bob", account: "bob" }),
    ).toBeUndefined();
    await uploads.close(id);
    expect(await uploads.sessions.findReply(`bits-reply-${key}`, alice)).toBeUndefined();
  });

  it("leaves its answer in the file that it was told of", async () => {
    const { url } = await startProgram(({ headers }, response) => {
      writeFileSync(String(headers["bits-response-datafile-name"]), "by reference");
      response.end();
    });
    const uploads = await uploadsFor(url, 1);
    const id = await uploads.create();
    const { headers } = await send(uploads, id);
    const key = String(headers["BITS-Reply-URL"]).split("/").at(-1) ?? "";
    const reply = await uploads.sessions.findReply(key, { name: "alice", account: "alice" });
    expect(readFileSync(reply?.file.path ?? "", "utf8")).toBe("by reference");
    rmSync(reply?.file.path ?? "");
    expect(await uploads.sessions.findReply(key, { name: "alice", account: "alice" })).toBeUndefined();
  });

  it("names an answer that lies elsewhere, and has the file published", async () => {
    const { url } = await startProgram((_, response) =>
      response
        .writeHead(200, {
          "BITS-Static-Response-URL": "http://other.medv.test/reply.dat",
          "BITS-Copy-File-To-Destination": "yes",
        })
        .end(),
    );
    const uploads = await uploadsFor(url, 1);
    const id = await uploads.create();
    expect((await send(uploads, id)).headers["BITS-Reply-URL"]).toBe("http://other.medv.test/reply.dat");
    await uploads.close(id);
    expect(uploads.published("win7_1.ckm")).toEqual(FILE);
  });

  it("is told once, also after a restart, whatever comes again", async () => {
    const { url, told } = await startProgram((_, response) =>
      response.writeHead(200, { "BITS-Static-Response-URL": "http://other.medv.test/reply.dat" }).end(),
    );
    const before = await uploadsFor(url, 1);
    const id = await before.create();
    await send(before, id);
    await send(before, id);
    const after = await startUploads({
      before,
      bits: { BITSServerNotificationType: 1, BITSServerNotificationURL: url },
    });
    expect((await send(after, id)).headers["BITS-Reply-URL"]).toBe("http://other.medv.test/reply.dat");
    expect(told).toHaveLength(1);
  });

  it("is asked again when it fails, and its status goes to the client", async () => {
    const statuses = [500, 403, 413, 200];
    const { url, told } = await startProgram((_, response) =>
      response.writeHead(statuses[told.length - 1] ?? 0).end(),
    );
    const uploads = await uploadsFor(url, 1);
    const id = await uploads.create();
    const answers = [];
    for (let i = 0; i < 4; i += 1) answers.push(await send(uploads, id));
    expect(answers).toMatchObject([
      { status: 500, headers: { "BITS-Error-Context": APPLICATION, "BITS-Error-Code": "0x801901F4" } },
      { status: 403, headers: { "BITS-Error-Context": APPLICATION, "BITS-Error-Code": "0x80190193" } },
      { status: 400, headers: { "BITS-Error-Context": APPLICATION } },
      { status: 200, headers: { "BITS-Received-Content-Range": "18" } },
    ]);
  });

  it("is awaited by the client when it cannot be reached", async () => {
    const uploads = await uploadsFor("http://127.0.0.1:1/", 1);
    const id = await uploads.create();
    expect(await send(uploads, id)).toMatchObject({
      status: 503,
      headers: { "BITS-Error-Context": APPLICATION, "BITS-Received-Content-Range": "18" },
    });
  });

  it.each(["ftp://x/", "/relative", "http://x/a b", `http://x/${"a".repeat(2200)}`])(
    "cannot send a client to %.20s",
    async (reply) => {
      const { url } = await startProgram((_, response) =>
        response.writeHead(200, { "BITS-Static-Response-URL": reply }).end(),
      );
      const uploads = await uploadsFor(url, 1);
      const id = await uploads.create();
      expect(await send(uploads, id)).toMatchObject({
        status: 400,
        headers: { "BITS-Error-Code": "0x80070057" },
      });
    },
  );

  it("answers in time or not at all", async () => {
    const { url } = await startProgram(() => {});
    const folder = temporaryFolder();
    writeFileSync(join(folder, "data"), FILE);
    const file = {
      url: new URL("http://images.medv.test/MEDVImages/win7_1.ckm"),
      dataPath: join(folder, "data"),
      replyPath: join(folder, "reply"),
      bytes: FILE.length,
    };
    await expect(notifyProgram({ type: "by-value", url: new URL(url) }, file, 50)).rejects.toMatchObject({
      status: 408,
      hresult: 0x80070112,
      context: 7,
    });
  });
});
