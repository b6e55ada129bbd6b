import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { originConfigDefaults, originConfigSchema } from "@ckmesh/origin";
import { loadConfig } from "@ckmesh/runtime";
import { hasTool, TestCa, type TestCertificate } from "@ckmesh/testkit";
import { describe, expect, it, onTestFinished } from "vitest";
import { makePair } from "../make-pair.js";
import { eventually, startTestOrigin, type TestOrigin, temporaryFolder } from "../origin-fixture.js";
import { TEST_CERT } from "../tls-fixture.js";
import { Lane } from "./lane.js";

const V1 = makePair({ name: "win7", version: 1 });
const PACK = "/MEDVImages/win7_1.ckm";
const hasOpenssl = hasTool("openssl", ["version"], "the listener of client certificates");

interface Made {
  readonly origin: TestOrigin;
  readonly ca: TestCa;
  readonly alice: TestCertificate;
  readonly flags: Readonly<Record<string, unknown>>;
  readonly lane: (certificate?: TestCertificate) => Lane;
}

/** Alice by her certificate, whoever is of the branches by a rule, Eve by none. */
async function start(rights: readonly string[] = ["MEDV\\alice", "branch"]): Promise<Made> {
  const folder = temporaryFolder();
  const ca = TestCa.createRoot(join(folder, "ca"), "/O=Contoso/CN=Contoso Root");
  const alice = ca.issue({ subject: "/O=Contoso/CN=alice" });
  const flags = {
    "authentication.anonymous.enabled": false,
    "authentication.clientCertificates.ca": ca.certificate.certFile,
    "authentication.clientCertificates.oneToOneMappings": [
      { sha256: new X509Certificate(alice.cert).fingerprint256, account: "MEDV\\alice" },
    ],
    "authentication.clientCertificates.manyToOneMappings": [
      { permission: "deny", rules: [{ field: "subject", sub: "CN", match: "bad*" }] },
      {
        name: "branches",
        permission: "permit",
        account: "branch",
        rules: [{ field: "subject", sub: "OU", match: "branches" }],
      },
    ],
    "rights.read": rights,
    certListen: "127.0.0.1:0",
  };
  const origin = await startTestOrigin({ folder, tls: true, pairs: [V1], flags });
  const lane = (certificate?: TestCertificate): Lane =>
    new Lane(origin, { last: true, ...(certificate !== undefined && { certificate }) });
  await eventually(async () => [200, 403].includes((await lane(alice).ask(PACK)).status));
  await eventually(async () => origin.log.some((line) => line.includes("image version published")));
  return { origin, ca, alice, flags, lane };
}

describe.skipIf(!hasOpenssl)("the listener that requires a client certificate", () => {
  it("lets in whom a mapping names, and says in the log why not whom none does", async () => {
    const { origin, ca, alice, lane } = await start();
    const foreign = TestCa.createRoot(join(origin.folder, "foreign"), "/O=Contoso/CN=Contoso Root");
    const now = Date.now();
    const cases: readonly (readonly [TestCertificate | undefined, string])[] = [
      [alice, "MEDV\\alice 200 0"],
      [ca.issue({ subject: "/OU=branches/CN=pc7" }), "branch 200 0"],
      [undefined, "- 403 7"],
      [ca.issue({ subject: "/CN=eve" }), "- 403 12"],
      [ca.issue({ subject: "/OU=branches/CN=badger" }), "- 403 12"],
      [foreign.issue({ subject: "/OU=branches/CN=pc7" }), "- 403 16"],
      [ca.issue({ subject: "/CN=old", notBefore: now - 7_200_000, notAfter: now - 3_600_000 }), "- 403 17"],
    ];
    for (const [i, [certificate, expected]] of cases.entries()) {
      const { status, challenges } = await lane(certificate).ask(PACK, { "user-agent": `case${i}` });
      expect([status, challenges]).toEqual([Number(expected.split(" ")[1]), []]);
    }
    await origin.origin.close();
    const logs = join(origin.state, "logs");
    const lines = readdirSync(logs).flatMap((name) => readFileSync(join(logs, name), "utf8").split("\n"));
    for (const [i, [, expected]] of cases.entries()) {
      const line = lines.find((text) => text.includes(` case${i} `))?.split(" ") ?? [];
      // cs-username, sc-status, sc-substatus
      expect([7, 10, 11].map((at) => line[at]).join(" ")).toBe(expected);
    }
    const audit = readFileSync(join(origin.state, "audit.ndjson"), "utf8");
    expect(audit).toContain('"user":"MEDV\\\\alice","address":"127.0.0.1","method":"certificate"');
    expect(audit).toContain('"status":"403.16"');
  });

  it("takes nothing else in place of a certificate", async () => {
    const { lane } = await start();
    const authorization = `Basic ${Buffer.from("alice:right").toString("base64")}`;
    expect((await lane().ask(PACK, { authorization })).status).toBe(403);
  });

  it("leaves rights to the rights", async () => {
    const { alice, lane } = await start(["branch"]);
    expect((await lane(alice).ask(PACK)).status).toBe(403);
  });

  it("goes by mappings and revocation lists that were loaded since; idle connections end", async () => {
    const { origin, ca, alice, flags, lane } = await start();
    const kept = lane(alice);
    const { localPort } = await kept.ask(PACK);
    expect((await kept.ask(PACK)).localPort).toBe(localPort);
    await reload(origin, { ...flags, "authentication.clientCertificates.oneToOneMappings": [] });
    await eventually(() => Object.keys(kept.agent.freeSockets).length === 0);
    expect((await kept.ask(PACK)).status).toBe(403);
    await reload(origin, flags);
    expect((await lane(alice).ask(PACK)).status).toBe(200);
    const crl = join(origin.folder, "ca.crl");
    ca.revoke(alice);
    writeFileSync(crl, ca.revocationList());
    await reload(origin, { ...flags, "authentication.clientCertificates.crl": [crl] });
    expect((await lane(alice).ask(PACK)).status).toBe(403);
  });

  it("ends a connection from before a revocation, also when its requests ask for an upgrade", async () => {
    const { origin, ca, alice, flags } = await start();
    const url = new URL(origin.origin.urls.findLast((text) => text.startsWith("https:")) ?? "");
    const socket = connect({
      host: url.hostname,
      port: Number(url.port),
      ca: TEST_CERT,
      cert: alice.cert,
      key: alice.key,
    });
    onTestFinished(() => void socket.destroy());
    let text = "";
    socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
    await once(socket, "secureConnect");
    // Half a request: such a connection is not idle.
    socket.write(`HEAD ${PACK} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n`);
    const whole = `HEAD ${PACK} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n`;
    socket.write(`\r\n${whole.slice(0, -2)}`);
    await eventually(() => text.includes("200 OK"));
    const crl = join(origin.folder, "ca.crl");
    ca.revoke(alice);
    writeFileSync(crl, ca.revocationList());
    await reload(origin, { ...flags, "authentication.clientCertificates.crl": [crl] });
    text = "";
    socket.write("\r\n");
    await eventually(() => text.includes("\r\n\r\n"));
    expect(text).toMatch(/\r\nConnection: close\r\n/i);
  });
});

async function reload(origin: TestOrigin, flags: Readonly<Record<string, unknown>>): Promise<void> {
  const { virtualDirectory, state, listen, tlsListen, tlsCert, tlsKey, publish, limits } = origin.config;
  const { config } = loadConfig({
    schema: originConfigSchema,
    defaults: originConfigDefaults,
    envPrefix: "CKMESH_",
    env: {},
    unknownKeys: "error",
    flags: { virtualDirectory, state, listen, tlsListen, tlsCert, tlsKey, publish, limits, ...flags },
  });
  await origin.origin.reload(config);
}
