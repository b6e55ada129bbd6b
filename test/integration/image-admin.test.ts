import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { join } from "node:path";
import { toHex } from "@ckmesh/core";
import { emptyControl, encodeControl, publicKeyBytes } from "@ckmesh/image";
import { OriginCalls } from "@ckmesh/net";
import { addAccount } from "@ckmesh/origin";
import { AdminApi, sendOrder } from "@ckmesh/publisher";
import { systemClock } from "@ckmesh/runtime";
import { describe, expect, it, onTestFinished } from "vitest";
import { type MadePair, makePair } from "../../packages/origin/test/make-pair.js";
import {
  eventually,
  startTestOrigin,
  type TestOrigin,
  temporaryFolder,
} from "../../packages/origin/test/origin-fixture.js";
import { TEST_CERT } from "../../packages/origin/test/tls-fixture.js";

const V1 = makePair({ name: "win7", version: 1 });
const V2 = makePair({ name: "win7", version: 2 });

async function startOrigin(
  flags: Readonly<Record<string, unknown>> = {},
  pairs: readonly MadePair[] = [V1, V2],
): Promise<TestOrigin> {
  const folder = temporaryFolder();
  const accountsFile = join(folder, "accounts.yaml");
  await addAccount(accountsFile, "alice", "right");
  await addAccount(accountsFile, "bob", "builder");
  const origin = await startTestOrigin({
    folder,
    tls: true,
    pairs,
    flags: { "authentication.accountsFile": accountsFile, "rights.change": ["alice"], ...flags },
  });
  await eventually(
    () => origin.log.filter((line) => line.includes("image version published")).length === pairs.length,
  );
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

describe("orders", () => {
  it("of people who give them at the same time all count", async () => {
    const url = tlsUrl(await startOrigin());
    const orders = [1, 2, 3].map(async (version) =>
      sendOrder({
        place: openApi(url),
        image: "win7",
        order: { type: "hold", version },
        signers: [],
        publishers: [],
        clock: systemClock,
      }),
    );
    await Promise.all(orders);
    const record = (await openApi(url).control("win7"))?.record;
    expect(record?.rollouts.map(({ version, isHeld }) => [version, isHeld])).toEqual([
      [1, true],
      [2, true],
      [3, true],
    ]);
  });

  it("need publishers' signatures where the origin knows publishers", async () => {
    const [right, wrong] = [generateKeyPairSync("ed25519"), generateKeyPairSync("ed25519")];
    const publishers = [toHex(publicKeyBytes(right.publicKey))];
    const origin = await startOrigin({ publishers }, [
      makePair({ name: "win7", version: 1, signer: right.privateKey }),
    ]);
    const send = async (...signers: readonly KeyObject[]): Promise<unknown> =>
      sendOrder({
        place: openApi(tlsUrl(origin)),
        image: "win7",
        order: { type: "withdraw", version: 1 },
        signers,
        publishers: [],
        clock: systemClock,
      });
    await expect(send()).rejects.toMatchObject({ code: "ERR_SIGNATURE_INVALID" });
    await expect(send(wrong.privateKey)).rejects.toMatchObject({ code: "ERR_SIGNATURE_INVALID" });
    expect(existsSync(join(origin.root, "win7.control.index"))).toBe(false);
    await send(right.privateKey);
    expect((await openApi(tlsUrl(origin)).images())[0]).toMatchObject({ newest: undefined, next: 2 });
  });
});

describe("with NTLM, over plain HTTP", () => {
  it("requests with and without a body are carried out, with one handshake", async () => {
    const origin = await startOrigin({
      "authentication.windows.enabled": true,
      "authentication.anonymous.enabled": false,
    });
    const baseUrl = origin.origin.urls.find((url) => url.startsWith("http:")) ?? "";
    const credentials = { user: "alice", password: "right" };
    const calls = new OriginCalls({ baseUrl, credentials, ntlm: true, clock: systemClock });
    onTestFinished(() => calls.close());
    const api = new AdminApi(calls);
    expect(await api.delete("win7", 1, false)).toMatchObject({ newest: 2 });
    const record = encodeControl({ ...emptyControl("win7"), serial: 1 }, []);
    // Without TLS an unsigned record does not count: the body has arrived, and is judged.
    await expect(api.putControl("win7", record, 0)).rejects.toMatchObject({
      code: "ERR_SIGNATURE_INVALID",
      message: expect.stringContaining("https"),
    });
    const logons = readFileSync(join(origin.state, "audit.ndjson"), "utf8").match(/"action":"logon"/g);
    expect(logons).toHaveLength(1);
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
