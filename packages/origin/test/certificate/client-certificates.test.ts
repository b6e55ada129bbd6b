import { utimesSync, writeFileSync } from "node:fs";
import { createServer, request, type Server } from "node:https";
import { join } from "node:path";
import { connect, type SecureVersion, TLSSocket } from "node:tls";
import { CertificateMapper } from "@ckmesh/auth";
import { silentLogger } from "@ckmesh/core";
import { hasTool, TestCa, type TestCertificate, VirtualClock } from "@ckmesh/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { CERTIFICATE_TLS, ClientCertificates } from "../../src/certificate/client-certificates.js";
import { ClientTrust, readCertificateFile } from "../../src/certificate/client-trust.js";
import { renewTls } from "../../src/certificate/renew-tls.js";
import { temporaryFolder } from "../origin-fixture.js";

const HOUR_MS = 3_600_000;
const MAPPED = { type: "mapped" };
const hasOpenssl = hasTool("openssl", ["version"], "client certificates");

describe.skipIf(!hasOpenssl)("client certificates of a listener", () => {
  let folder: string;
  let root: TestCa;
  let issuing: TestCa;
  let foreign: TestCa;
  let serverCertificate: TestCertificate;
  let stop: (() => Promise<void>)[] = [];
  let cleanUp: (() => void | Promise<void>) | undefined;
  let count = 0;

  beforeAll(() => {
    folder = temporaryFolder((run) => {
      cleanUp = run;
    });
    root = TestCa.createRoot(join(folder, "root"), "/O=Contoso/CN=Contoso Root");
    issuing = root.createIntermediate(join(folder, "issuing"), "/O=Contoso/CN=Contoso Issuing");
    foreign = TestCa.createRoot(join(folder, "foreign"), "/O=Contoso/CN=Contoso Root");
    serverCertificate = root.issue({ subject: "/CN=localhost", altName: "DNS:localhost" });
  });
  afterEach(async () => {
    await Promise.all(stop.map((end) => end()));
    stop = [];
  });
  afterAll(() => cleanUp?.());

  it("maps a certificate of a trusted CA, and sees that none was presented", async () => {
    const alice = issuing.issue({ subject: "/O=Contoso/CN=alice" });
    const origin = await start({ cas: [root, issuing] });
    expect(await origin.ask(alice)).toEqual({
      type: "mapped",
      identity: { name: "alice", account: "alice" },
    });
    expect(await origin.ask(undefined)).toEqual({ type: "none" });
    expect(await origin.ask(issuing.issue({ subject: "/O=Fabrikam/CN=bob" }))).toEqual({ type: "unmapped" });
  });

  it("finds fault with certificates that are foreign, expired, not valid yet, or meant for servers", async () => {
    const origin = await start({ cas: [root, issuing] });
    const subject = "/O=Contoso/CN=alice";
    const now = Date.now();
    const faults = [
      await origin.ask(foreign.issue({ subject })),
      await origin.ask(issuing.issue({ subject, notBefore: now - 2 * HOUR_MS, notAfter: now - HOUR_MS })),
      await origin.ask(issuing.issue({ subject, notBefore: now + HOUR_MS, notAfter: now + 2 * HOUR_MS })),
      await origin.ask(issuing.issue({ subject, extendedKeyUsage: "serverAuth" })),
    ];
    expect(faults).toEqual([bad("untrusted"), bad("expired"), bad("notYetValid"), bad("untrusted")]);
  });

  it("finds fault with revoked certificates, lists out of date, CAs without a list, foreign CAs", async () => {
    const [alice, carol] = [1, 2].map(() => issuing.issue({ subject: "/O=Contoso/CN=alice" }));
    if (alice === undefined || carol === undefined) throw new Error("unreachable: two were made");
    issuing.revoke(carol);
    const lists = [root.revocationList(), issuing.revocationList()];
    const whole = await start({ cas: [root, issuing], lists });
    const withoutRoot = await start({ cas: [root, issuing], lists: lists.slice(1) });
    const old = await start({
      cas: [root, issuing],
      lists: [root.revocationList(), issuing.revocationList(Date.now() - HOUR_MS)],
    });
    expect(await whole.ask(alice)).toMatchObject(MAPPED);
    expect(await whole.ask(carol)).toEqual(bad("revoked"));
    expect(await whole.ask(foreign.issue({ subject: "/O=Contoso/CN=alice" }))).toEqual(bad("untrusted"));
    expect(await withoutRoot.ask(alice)).toEqual(bad("revocationUnknown"));
    expect(await old.ask(alice)).toEqual(bad("revocationUnknown"));
  });

  it("takes CAs and lists in DER, and several in one file", async () => {
    const alice = issuing.issue({ subject: "/O=Contoso/CN=alice" });
    const [a, b] = [root, issuing].map((ca) => derOf(ca.revocationList()));
    const both = `${root.revocationList()}${issuing.revocationList()}`;
    const inDer = await start({ cas: [root, issuing], lists: [a ?? "", b ?? ""] });
    const inOne = await start({ cas: [root, issuing], lists: [both] });
    expect(await inDer.ask(alice)).toMatchObject(MAPPED);
    expect(await inOne.ask(alice)).toMatchObject(MAPPED);
  });

  it("names setting and file where there is no certificate in it", () => {
    const { certFile } = root.certificate;
    const list = join(folder, "no-certificate.pem");
    writeFileSync(list, root.revocationList());
    expect(readCertificateFile(certFile, "issuers").map(({ subject }) => subject)).toEqual([
      "O=Contoso\nCN=Contoso Root",
    ]);
    for (const file of [list, join(folder, "absent.pem")]) {
      expect(() => readCertificateFile(file, "issuers")).toThrow(`issuers: cannot use ${file}`);
    }
  });

  it.each(["TLSv1.2", "TLSv1.3"] as const)(
    "does not resume a %s session from before a new revocation list",
    async (version) => {
      const alice = issuing.issue({ subject: "/O=Contoso/CN=alice" });
      const origin = await start({
        cas: [root, issuing],
        lists: [root.revocationList(), issuing.revocationList()],
      });
      const before = await origin.session(alice, version);
      const again = await origin.session(alice, version, before.session);
      issuing.revoke(alice);
      origin.replaceList(1, issuing.revocationList());
      const after = await origin.session(alice, version, again.session);
      expect([before.isReused, before.verdict]).toMatchObject([false, MAPPED]);
      // That sessions are resumed at all is what makes the last line worth something.
      expect([again.isReused, again.verdict]).toMatchObject([true, MAPPED]);
      expect([after.isReused, after.verdict]).toEqual([false, bad("revoked")]);
    },
  );

  it("calls connections stale that were judged before a reload, and keeps the lists while a file is bad", async () => {
    const alice = issuing.issue({ subject: "/O=Contoso/CN=alice" });
    const origin = await start({
      cas: [root, issuing],
      lists: [root.revocationList(), issuing.revocationList()],
    });
    const socket = await origin.open(alice);
    expect(origin.certificates.isStale(socket)).toBe(false);
    origin.replaceList(1, "no list");
    expect(origin.certificates.isStale(socket)).toBe(false);
    expect(await origin.ask(alice)).toMatchObject(MAPPED);
    origin.replaceList(1, issuing.revocationList());
    expect(origin.certificates.isStale(socket)).toBe(true);
    origin.clock.advance(11_000);
    expect(origin.certificates.isStale(await origin.open(alice))).toBe(false);
  });

  it("judges a kept connection anew when its certificate expires", async () => {
    const alice = issuing.issue({ subject: "/O=Contoso/CN=alice" });
    const origin = await start({ cas: [root, issuing] });
    const socket = await origin.open(alice);
    expect(await origin.certificates.verdictOf(socket)).toMatchObject(MAPPED);
    origin.clock.advance(2 * HOUR_MS);
    expect(await origin.certificates.verdictOf(socket)).toEqual(bad("expired"));
  });

  it("says which CA has no list, and which list is out of date", async () => {
    const lines: string[] = [];
    const note = (facts: object, message: string): void => {
      lines.push(`${"ca" in facts ? String(facts.ca) : ""}: ${message}`);
    };
    const logger = { ...silentLogger, warn: note, error: note };
    const soon = Date.now() + HOUR_MS;
    const origin = await start({ cas: [root, issuing], lists: [issuing.revocationList(soon)], logger });
    origin.clock.advance(2 * HOUR_MS);
    expect(lines).toEqual([
      "O=Contoso,CN=Contoso Root: this CA has no revocation list: its certificates are refused as long as any list is configured",
      "O=Contoso,CN=Contoso Issuing: revocation list is out of date: certificates of this CA are refused until a new one is there",
    ]);
  });

  interface Setup {
    readonly cas: readonly TestCa[];
    readonly lists?: readonly (string | Buffer)[];
    readonly logger?: typeof silentLogger;
  }

  async function start({ cas, lists = [], logger = silentLogger }: Setup) {
    count += 1;
    const clock = new VirtualClock(Date.now());
    const crlFiles = lists.map((list, i) => {
      const file = join(folder, `list-${count}-${i}.crl`);
      writeFileSync(file, list);
      return file;
    });
    const caFiles = cas.map((ca) => ca.certificate.certFile);
    const trust = ClientTrust.start({ caFiles, crlFiles, clock, logger });
    const rules = [{ field: "subject", sub: "O", match: "Contoso", caseSensitive: true }] as const;
    const mapper = new CertificateMapper({
      oneToOne: [],
      manyToOne: [{ name: "staff", permission: "permit", account: "alice", rules }],
    });
    const certificates = new ClientCertificates({ trust, mapper, clock });
    const { cert, key } = serverCertificate;
    const server = createServer({ cert, key, ...CERTIFICATE_TLS, ...trust.context }, (req, res) => {
      if (!(req.socket instanceof TLSSocket)) throw new Error("unreachable: the server speaks TLS");
      certificates.verdictOf(req.socket).then(
        (verdict) => res.end(JSON.stringify(verdict)),
        () => res.destroy(),
      );
    });
    const opened: TLSSocket[] = [];
    server.on("secureConnection", (socket) => {
      certificates.opened(socket);
      opened.push(socket);
    });
    trust.onChange(() => renewTls(server, { cert, key, ...trust.context }));
    const port = await listen(server);
    stop.push(async () => {
      trust.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    const tls = (client: TestCertificate | undefined) => ({
      host: "localhost",
      port,
      servername: "localhost",
      ca: root.certificate.cert,
      ...(client === undefined ? {} : { cert: client.cert, key: client.key }),
    });
    return {
      clock,
      certificates,
      ask: (client: TestCertificate | undefined): Promise<unknown> =>
        new Promise((resolve, reject) => {
          request({ ...tls(client), agent: false }, (answer) => {
            let body = "";
            answer.on("data", (part) => (body += String(part)));
            answer.on("end", () => resolve(JSON.parse(body)));
          })
            .on("error", reject)
            .end();
        }),
      /** The server's end of a new connection. */
      open: async (client: TestCertificate): Promise<TLSSocket> => {
        const socket = connect(tls(client));
        stop.push(async () => {
          socket.destroy();
        });
        await new Promise((resolve, reject) => {
          server.once("secureConnection", resolve);
          socket.once("error", reject);
        });
        const end = opened.at(-1);
        if (end === undefined) throw new Error("unreachable: it was opened");
        return end;
      },
      /** One request on a connection that may resume a session. */
      session: (client: TestCertificate, version: SecureVersion, resumed?: Buffer) =>
        new Promise<{ isReused: boolean; verdict: unknown; session: Buffer }>((resolve, reject) => {
          const limits = { minVersion: version, maxVersion: version };
          const socket = connect({ ...tls(client), ...limits, ...(resumed ? { session: resumed } : {}) });
          let session: Buffer | undefined;
          let text = "";
          socket.on("session", (ticket: Buffer) => (session = ticket));
          socket.on("data", (part) => (text += String(part)));
          socket.on("error", reject);
          socket.on("end", () => {
            const verdict: unknown = JSON.parse(/\{.*\}/.exec(text)?.[0] ?? "null");
            resolve({
              isReused: socket.isSessionReused(),
              verdict,
              session: session ?? resumed ?? Buffer.alloc(0),
            });
          });
          socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        }),
      replaceList: (index: number, content: string): void => {
        const file = crlFiles[index] ?? "";
        writeFileSync(file, content);
        // Two writes within one tick of the file system's clock have one time.
        count += 1;
        utimesSync(file, 1_000_000 + count, 1_000_000 + count);
        clock.advance(10_000);
      },
    };
  }
});

function bad(fault: string) {
  return { type: "bad", fault };
}

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----[A-Z0-9 ]+-----/g, ""), "base64");
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(0, "localhost", resolve);
  });
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("unreachable: it listens");
  return address.port;
}
