import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { addAccount } from "@ckmesh/origin";
import { hasTool, TestCa } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import type { LiveAccess } from "../../src/access/live-access.js";
import type { BitsHandler } from "../../src/bits/bits-request.js";
import { httpFailure } from "../../src/listener/http-failure.js";
import { eventually, temporaryFolder } from "../origin-fixture.js";
import { Lane } from "../windows/lane.js";
import { answering, type BitsListener, configOf, openBitsListener } from "./bits-fixture.js";
import { packet, RawClient, TARGET } from "./raw-client.js";

const LISTING = "/MEDVImages/";
const hasOpenssl = hasTool("openssl", ["version"], "uploads with client certificates");

/** Lets in whoever may change, and names them. */
function guarded(live: () => LiveAccess): BitsHandler {
  return async (request, entrance) => {
    try {
      const visitor = await live().access.identify(request, entrance);
      request.facts.visitor = visitor;
      await live().access.require("change", visitor);
      return { status: 200, headers: { ...visitor.headers, "X-User": visitor.identity?.name ?? "" } };
    } catch (err) {
      const { status, subStatus, headers } = httpFailure(err);
      request.facts.subStatus = subStatus;
      return { status, headers };
    }
  };
}

async function openGuarded(
  scheme: "http" | "https",
  flags: Readonly<Record<string, unknown>>,
): Promise<BitsListener> {
  const listener: BitsListener = await openBitsListener(
    guarded(() => listener.live),
    { scheme, flags: { "authentication.anonymous.enabled": false, "rights.change": ["alice"], ...flags } },
  );
  return listener;
}

async function accountsFile(): Promise<string> {
  const file = join(temporaryFolder(), "accounts.yaml");
  await addAccount(file, "alice", "right");
  await addAccount(file, "bob", "builder");
  return file;
}

const laneOf = ({ url }: BitsListener): Lane => new Lane({ origin: { urls: [url] } });

describe.each(["http", "https"] as const)("a logon over %s", (scheme) => {
  it("by NTLM holds for the connection, whichever method it began with", async () => {
    const flags = {
      "authentication.windows.enabled": true,
      "authentication.accountsFile": await accountsFile(),
    };
    const listener = await openGuarded(scheme, flags);
    const byGet = laneOf(listener);
    const { localPort } = await byGet.logOn(LISTING, "alice", "right");
    const packets = [await byGet.ask(TARGET, {}, "BITS_POST"), await byGet.ask(TARGET, {}, "BITS_POST")];
    expect(packets.map((answer) => [answer.status, answer.headers["x-user"], answer.localPort])).toEqual([
      [200, "alice", localPort],
      [200, "alice", localPort],
    ]);
    const byBits = laneOf(listener);
    const { first, answer } = await byBits.begin(TARGET, "NTLM", "BITS_POST");
    expect(first.status).toBe(401);
    const authorization = answer("alice", "right");
    const logged = await byBits.ask(TARGET, { authorization }, "BITS_POST");
    expect([logged.status, logged.localPort]).toEqual([200, first.localPort]);
    const listing = await byBits.ask(LISTING);
    expect([listing.status, listing.localPort]).toEqual([200, first.localPort]);
    expect((await byBits.ask(TARGET, {}, "BITS_POST")).status).toBe(200);
  });

  it("by NTLM may change the method between its legs, and refuses a body without an end of the connection", async () => {
    const flags = {
      "authentication.windows.enabled": true,
      "authentication.accountsFile": await accountsFile(),
    };
    const listener = await openGuarded(scheme, flags);
    const lane = laneOf(listener);
    const refused = await lane.ask(TARGET, {}, "BITS_POST", Buffer.alloc(1_000_000));
    expect([refused.status, refused.challenges.slice(0, 2)]).toEqual([401, ["Negotiate", "NTLM"]]);
    const { first, answer } = await lane.begin(LISTING, "NTLM");
    expect(first.localPort).toBe(refused.localPort);
    const logged = await lane.ask(TARGET, { authorization: answer("bob", "builder") }, "BITS_POST");
    expect([logged.status, logged.localPort]).toEqual([403, first.localPort]);
    expect((await lane.ask(LISTING)).status).toBe(200);
    await eventually(() => listener.entries.length === 4);
    expect(
      listener.entries.map(({ method, user, status, subStatus }) => [method, user, status, subStatus]),
    ).toEqual([
      ["BITS_POST", undefined, 401, 2],
      ["GET", undefined, 401, 1],
      ["BITS_POST", "bob", 403, 2],
      ["GET", "bob", 200, 0],
    ]);
  });
});

describe("the request log", () => {
  it("has a line for each packet, with its bytes in both directions", async () => {
    const listener = await openBitsListener(answering(416, { "BITS-Packet-Type": "Ack" }));
    const client = await RawClient.open(listener.url);
    const head = packet(
      ["User-Agent: Microsoft BITS/7.8", "X-Ckmesh-Site: north", "Content-Length: 7"],
      `${TARGET}?q`,
    );
    const answer = await client.ask(`${head}7 bytes`);
    expect(answer?.status).toBe(416);
    await eventually(() => listener.entries.length === 1);
    expect(listener.entries[0]).toMatchObject({
      method: "BITS_POST",
      target: `${TARGET}?q`,
      user: undefined,
      clientAddress: "127.0.0.1",
      serverAddress: "127.0.0.1",
      serverPort: Number(new URL(listener.url).port),
      userAgent: "Microsoft BITS/7.8",
      status: 416,
      receivedBytes: head.length + 7,
      sentBytes: client.socket.bytesRead,
      site: "north",
    });
  });
});

describe.skipIf(!hasOpenssl)("the listener that requires a client certificate", () => {
  it("knows the sender of each packet, and ends the connection when its certificate counts no more", async () => {
    const folder = temporaryFolder();
    const ca = TestCa.createRoot(join(folder, "ca"), "/O=Contoso/CN=Contoso Root");
    const alice = ca.issue({ subject: "/O=Contoso/CN=alice" });
    const mapping = { sha256: new X509Certificate(alice.cert).fingerprint256, account: "alice" };
    const flags = {
      "authentication.anonymous.enabled": false,
      "authentication.clientCertificates.ca": ca.certificate.certFile,
      "authentication.clientCertificates.oneToOneMappings": [mapping],
      "rights.change": ["alice"],
    };
    const listener: BitsListener = await openBitsListener(
      guarded(() => listener.live),
      { scheme: "certificate", flags },
    );
    const client = await RawClient.open(listener.url, alice);
    expect((await client.ask(packet()))?.headers.get("x-user")).toEqual(["alice"]);
    expect((await client.ask(packet()))?.status).toBe(200);
    expect((await (await RawClient.open(listener.url)).ask(packet()))?.status).toBe(403);
    await listener.live.replace(
      configOf({ ...flags, "authentication.clientCertificates.oneToOneMappings": [] }),
    );
    const last = await client.ask(packet());
    expect([last?.status, last?.headers.get("connection")]).toEqual([403, ["close"]]);
    expect(await client.next()).toBeUndefined();
  });
});
