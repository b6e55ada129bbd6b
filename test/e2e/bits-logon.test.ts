import { randomFillSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KIB, MIB } from "@ckmesh/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  BitsConnection,
  basic,
  CODE,
  fragmentPacket,
  packetBytes,
  toReply,
} from "../testbed/bits-connection.js";
import { curlUpload } from "../testbed/bits-curl.js";
import { startBitsOrigin } from "../testbed/bits-origin.js";
import { BitsPython } from "../testbed/bits-python.js";
import { type KeyPair, TestCa } from "../testbed/certificates.js";
import { whyNot } from "../testbed/foreign.js";
import { type KerberosModule, kerberosModule } from "../testbed/kerberos-module.js";
import { ALICE, BOB } from "../testbed/local-accounts.js";
import { startLogonOrigin } from "../testbed/logon-origin.js";
import { answerTo, firstToken, logOn, type NtlmScheme } from "../testbed/ntlm-handshake.js";
import type { OriginUnderTest } from "../testbed/origin-under-test.js";
import { authorization, RawConnection } from "../testbed/raw-connection.js";
import { startKdc, type TicketServer } from "../testbed/testbed.js";

/* Uploads by foreign clients, curl and Python's http.client, and the logon of every packet. */
const reason = whyNot("uploads by curl", ["curl", "kdc", "openssl", "python"]);
const START_TIMEOUT_MS = 90_000;
const FRAGMENT_BYTES = 1536 * KIB; // More than 1 MiB, so that curl waits for 100 Continue.
/** Ping, Create-Session, three fragments, Close-Session. */
const ALL_DONE = [200, 200, 200, 200, 200, 200];

const file = randomFillSync(new Uint8Array(2 * FRAGMENT_BYTES + 1));

describe.skipIf(reason !== undefined)("an upload over the network", () => {
  let folder: string;
  let source: string;
  let kdc: TicketServer;
  let kerberos: KerberosModule;
  let ca: TestCa;
  let certificate: KeyPair;
  let origin: OriginUnderTest;
  let n = 0;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ckbits-"));
    source = join(folder, "source");
    writeFileSync(source, file);
    [kdc, kerberos] = await Promise.all([startKdc(), kerberosModule()]);
    ca = await TestCa.create(join(folder, "ca"), "/O=Contoso/CN=Contoso CA");
    certificate = await ca.issue({ subject: "/CN=One" });
    origin = await startLogonOrigin({
      folder,
      kdc,
      kerberos,
      ca,
      clientCertificates: {
        oneToOneMappings: [{ sha256: await TestCa.sha256(certificate), account: "alice" }],
      },
      rights: { read: ["Everyone"], change: ["alice", "MEDV\\alice"] },
      settings: { bits: { BITSUploadEnabled: true } },
    });
  }, START_TIMEOUT_MS);

  afterAll(async () => {
    await origin?.stop();
    await kdc?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const newPath = (): string => {
    n += 1;
    return `/MEDVImages/Logon${n}_1.ckm`;
  };

  /** What the origin gives its uploader, by Basic over TLS, at the end of the file. */
  async function tailOf(path: string): Promise<Buffer> {
    const connection = await RawConnection.open({ url: origin.httpsUrl, ca: readFileSync(ca.cert) });
    const answer = await connection.get(path, [basic(ALICE), `Range: bytes=-${MIB}`]);
    connection.close();
    expect(answer.status).toBe(206);
    return answer.body;
  }

  const tail = Buffer.from(file.subarray(-MIB));
  const curl = (url: string, logon: readonly string[], env?: Readonly<Record<string, string>>) =>
    curlUpload({
      url,
      bytes: file,
      fragmentBytes: FRAGMENT_BYTES,
      logon,
      ...(env === undefined ? {} : { env }),
    });

  it("by curl with Basic over TLS", async () => {
    const path = newPath();
    const result = await curl(origin.httpsUrl + path, [
      `user = "alice:${ALICE.password}"`,
      `cacert = "${ca.cert}"`,
    ]);
    expect([result.statuses, result.connects]).toEqual([ALL_DONE, [1, 1]]);
    expect((await tailOf(path)).equals(tail)).toBe(true);
  });

  it.each(["http", "https"])(
    "by curl with NTLM over %s, one handshake for each connection",
    async (scheme) => {
      const path = newPath();
      const url = (scheme === "http" ? origin.httpUrl : origin.httpsUrl) + path;
      const logon = ["ntlm", `user = "alice:${ALICE.password}"`, `cacert = "${ca.cert}"`];
      const result = await curl(url, logon);
      expect([result.statuses, result.connects, result.challenges]).toEqual([ALL_DONE, [1, 1], 2]);
      // Basic and NTLM name the same local account.
      expect((await tailOf(path)).equals(tail)).toBe(true);
    },
  );

  it.for(["http", "https"])("by curl with Kerberos over %s", async (scheme, { skip }) => {
    if (kerberos.type === "missing") return skip(kerberos.reason);
    const url = (scheme === "http" ? origin.httpUrl : origin.httpsUrl) + newPath();
    const logon = ["negotiate", 'user = ":"', `cacert = "${ca.cert}"`];
    const result = await curl(url, logon, await kdc.ticket("alice", ALICE.password));
    expect(result.statuses).toEqual(ALL_DONE);
    const refused = await curl(url, logon, await kdc.ticket("bob", BOB.password));
    expect(refused.statuses).toEqual([403, 403]);
  });

  it("by curl with a certificate", async () => {
    const path = newPath();
    const logon = [`cert = "${certificate.cert}"`, `key = "${certificate.key}"`, `cacert = "${ca.cert}"`];
    expect((await curl(origin.certUrl + path, logon)).statuses).toEqual(ALL_DONE);
    expect((await tailOf(path)).equals(tail)).toBe(true);
  });

  it("by curl is refused with a wrong password, and without the right", async () => {
    const url = origin.httpUrl + newPath();
    expect((await curl(url, ["ntlm", 'user = "alice:not-it-1"'])).statuses).toEqual([401, 401]);
    expect((await curl(url, ["ntlm", `user = "bob:${BOB.password}"`])).statuses).toEqual([403, 403]);
    expect((await curl(url, [])).statuses).toEqual([401, 401]);
  });

  it("by Python's http.client with Basic over TLS, and with a certificate", async () => {
    const [byBasic, byCertificate] = [newPath(), newPath()];
    await new BitsPython({
      url: origin.httpsUrl + byBasic,
      file: source,
      user: ALICE,
      ca: ca.cert,
      fragmentBytes: 64 * KIB,
    }).done();
    await new BitsPython({
      url: origin.certUrl + byCertificate,
      file: source,
      ca: ca.cert,
      pair: certificate,
    }).done();
    expect((await tailOf(byBasic)).equals(tail)).toBe(true);
    expect((await tailOf(byCertificate)).equals(tail)).toBe(true);
    const wrong = { account: "alice", password: "not-it-1" };
    const refused = new BitsPython({
      url: origin.httpsUrl + newPath(),
      file: source,
      user: wrong,
      ca: ca.cert,
    });
    expect(await refused.end()).toMatchObject({ refused: "Ping", status: 401 });
  });

  describe.each(["NTLM", "Negotiate"] as const)("with a handshake of %s", (scheme) => {
    it("on an empty Ping needs no credentials for the rest of the connection", async () => {
      const path = newPath();
      const client = await BitsConnection.open({ url: origin.httpUrl });
      expect((await pingWithHandshake(client, path, scheme)).status).toBe(200);
      await client.upload(path, file.subarray(0, KIB));
      expect((await client.get(path)).body.equals(file.subarray(0, KIB))).toBe(true);
      client.close();
      const other = await BitsConnection.open({ url: origin.httpUrl });
      expect((await other.sendPlain({ path, type: "Ping" })).status).toBe(401);
      other.close();
    });

    it("on a GET counts for the uploads that follow on its connection", async () => {
      const path = newPath();
      const client = await BitsConnection.open({ url: origin.httpUrl });
      expect((await logOn(client.raw, origin.packPath, scheme, ALICE)).status).toBe(206);
      await client.upload(path, file.subarray(0, KIB));
      expect((await client.get(origin.packPath, ["Range: bytes=0-9"])).status).toBe(206);
      client.close();
    });

    it("goes on where a fragment was refused with 401 on its connection", async () => {
      const path = newPath();
      const client = await BitsConnection.open({ url: origin.httpUrl });
      const id = "{00000000-0000-4000-8000-000000000111}";
      const refused = await client.sendPlain(
        fragmentPacket(path, id, { first: 0, total: MIB, bytes: new Uint8Array(MIB) }),
      );
      expect(refused.status).toBe(401);
      expect(refused.headers.get("connection")?.join().toLowerCase()).not.toBe("close");
      expect((await pingWithHandshake(client, path, scheme)).status).toBe(200);
      client.close();
    });

    it("of somebody who may not upload ends in 403 with E_ACCESSDENIED", async () => {
      const path = newPath();
      const client = await BitsConnection.open({ url: origin.httpUrl });
      const { status, code } = await pingWithHandshake(client, path, scheme, BOB);
      expect([status, code]).toEqual([403, CODE.accessDenied]);
      expect((await client.tryCreate(path)).status).toBe(403);
      client.close();
    });
  });

  it("that is refused with 401 is refused before its 13 MiB are read, and drained or cut off", async () => {
    const path = newPath();
    const client = await RawConnection.open({ url: origin.httpUrl });
    const bytes = new Uint8Array(13 * MIB);
    const id = "{00000000-0000-4000-8000-000000000111}";
    const request = packetBytes(fragmentPacket(path, id, { first: 0, total: bytes.length, bytes }));
    const answer = await client.send(request.subarray(0, MIB));
    expect(answer.status).toBe(401);
    client.close();
  });

  it.each(["Negotiate", "NTLM"])(
    "with a token of 40 KB is refused for its token, not for its length: %s",
    async (scheme) => {
      const client = await BitsConnection.open({ url: origin.httpUrl });
      const token = new Uint8Array(30 * KIB).fill(0x41);
      const headers = [authorization(scheme, token)];
      expect((await client.sendPlain({ path: newPath(), type: "Ping", headers })).status).toBe(401);
      client.close();
    },
  );
});

async function pingWithHandshake(
  client: BitsConnection,
  path: string,
  scheme: NtlmScheme,
  user = ALICE,
): Promise<ReturnType<typeof toReply>> {
  const ping = (token: Uint8Array) =>
    client.sendPlain({ path, type: "Ping", headers: [authorization(scheme, token)] });
  const challenge = await ping(firstToken(scheme));
  expect(challenge.status).toBe(401);
  return toReply(await ping(answerTo(challenge, scheme, user)));
}

describe("an origin that lets everybody read", () => {
  it("asks for credentials before any packet of an upload, and for none to read", async ({ signal }) => {
    const folder = mkdtempSync(join(tmpdir(), "ckbits-"));
    const origin = await startBitsOrigin(
      { folder, authentication: { anonymous: { enabled: true } } },
      signal,
    );
    try {
      const client = await BitsConnection.open({ url: origin.httpUrl });
      const path = "/MEDVImages/Open_1.ckm";
      expect((await client.get(origin.packPath, ["Range: bytes=0-9"])).status).toBe(206);
      for (const type of ["Ping", "Create-Session"])
        expect((await client.sendPlain({ path, type })).status).toBe(401); // oxlint-disable-line no-await-in-loop -- one connection
      expect((await client.get(origin.packPath, ["Range: bytes=0-9"])).status).toBe(206);
      client.close();
      const alice = await BitsConnection.open({ url: origin.httpUrl }, basic(ALICE));
      await alice.upload(path, file.subarray(0, KIB));
      alice.close();
    } finally {
      await origin.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
