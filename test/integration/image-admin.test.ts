import { existsSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { join } from "node:path";
import { OriginCalls } from "@ckmesh/net";
import { addAccount } from "@ckmesh/origin";
import { AdminApi } from "@ckmesh/publisher";
import { systemClock } from "@ckmesh/runtime";
import { describe, expect, it, onTestFinished } from "vitest";
import { makePair } from "../../packages/origin/test/make-pair.js";
import {
  startTestOrigin,
  type TestOrigin,
  temporaryFolder,
} from "../../packages/origin/test/origin-fixture.js";
import { TEST_CERT } from "../../packages/origin/test/tls-fixture.js";

const V1 = makePair({ name: "win7", version: 1 });
const V2 = makePair({ name: "win7", version: 2 });

async function startOrigin(): Promise<TestOrigin> {
  const folder = temporaryFolder();
  const accountsFile = join(folder, "accounts.yaml");
  await addAccount(accountsFile, "alice", "right");
  await addAccount(accountsFile, "bob", "builder");
  const origin = await startTestOrigin({
    folder,
    tls: true,
    pairs: [V1, V2],
    flags: { "authentication.accountsFile": accountsFile, "rights.change": ["alice"] },
  });
  await origin.published("win7", 2);
  return origin;
}

function openApi(baseUrl: string, user = "alice", password = "right"): AdminApi {
  const calls = new OriginCalls({
    baseUrl,
    ca: TEST_CERT,
    credentials: { user, password },
    clock: systemClock,
  });
  onTestFinished(() => calls.close());
  return new AdminApi(calls);
}

function tlsUrl({ origin }: TestOrigin): string {
  return origin.urls.find((url) => url.startsWith("https:")) ?? "";
}

async function startServer(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => new Promise((resolve) => server.close(() => resolve())));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("unreachable: it listens at a port");
  return `http://127.0.0.1:${address.port}/MEDVImages`;
}

describe("the admin API, by its client", () => {
  it("lists and shows what the origin publishes", async () => {
    const api = openApi(tlsUrl(await startOrigin()));
    expect(await api.images()).toMatchObject([
      { name: "win7", newest: 2, next: 3, versions: [{ version: 1, id: V1.idHex }, { version: 2 }] },
    ]);
    expect(await api.version("WIN7", 1)).toMatchObject({
      image: "win7",
      version: 1,
      packBytes: V1.pack.length,
      disk: { bytes: 196_608, format: "raw" },
      previous: undefined,
      signers: [],
    });
  });

  it("deletes, and says what the origin decides in the origin's own code", async () => {
    const origin = await startOrigin();
    const api = openApi(tlsUrl(origin));
    await expect(api.delete("win7", 2, false)).rejects.toMatchObject({
      code: "ERR_VERSION_IN_USE",
      message: expect.stringContaining("clients follow version 2"),
      details: { status: 409, remoteCode: "ERR_VERSION_IN_USE" },
    });
    expect(await api.delete("win7", 1, false)).toEqual({
      image: "win7",
      deleted: [{ version: 1, id: V1.idHex }],
      newest: 2,
    });
    expect(existsSync(join(origin.root, V1.packName))).toBe(false);
    await expect(api.delete("win7", 1, false)).rejects.toMatchObject({ code: "ERR_IMAGE_NOT_FOUND" });
    expect(await api.delete("win7", undefined, true)).toMatchObject({ newest: undefined });
    await expect(api.image("win7")).rejects.toMatchObject({ code: "ERR_IMAGE_NOT_FOUND" });
  });

  it("tells a user without the right from a wrong password", async () => {
    const url = tlsUrl(await startOrigin());
    await expect(openApi(url, "bob", "builder").images()).rejects.toMatchObject({
      code: "ERR_AUTH_FORBIDDEN",
      message: expect.stringContaining("right to change"),
    });
    await expect(openApi(url, "bob", "wrong").images()).rejects.toMatchObject({ code: "ERR_AUTH_REQUIRED" });
  });

  it("has no control record where none was made", async () => {
    expect(await openApi(tlsUrl(await startOrigin())).control("win7")).toBeUndefined();
  });
});

describe("a server that is no origin of ours", () => {
  it.each([
    [404, "<html>nothing here</html>", "ERR_ORIGIN_INVALID", "plain web server"],
    [405, "", "ERR_ORIGIN_INVALID", "plain web server"],
    [200, "<html>welcome</html>", "ERR_ORIGIN_INVALID", "no JSON"],
    [200, '{"images":[{"name":"../x","next":1,"versions":[]}]}', "ERR_ORIGIN_INVALID", "cannot be"],
    [200, '{"images":7}', "ERR_ORIGIN_INVALID", "images"],
    [302, "", "ERR_ORIGIN_INVALID", "302"],
    [500, '{"code":"ERR_INTERNAL","message":"\\u001b[31mred"}', "ERR_ORIGIN_INVALID", " [31mred"],
    [502, "bad gateway", "ERR_ORIGIN_UNREACHABLE", "502"],
  ])("with status %i and %j is %s", async (status, body, code, words) => {
    const url = await startServer((_request, response) => response.writeHead(status).end(body));
    const calls = new OriginCalls({ baseUrl: url, clock: systemClock });
    onTestFinished(() => calls.close());
    const failure: unknown = await new AdminApi(calls).images().catch((err: unknown) => err);
    expect(failure).toMatchObject({ code, message: expect.stringContaining(words) });
    expect(String(failure)).not.toContain("\u001b");
  });
});
