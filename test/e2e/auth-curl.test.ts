import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KeyPair, TestCa } from "../testbed/certificates.js";
import { curl } from "../testbed/curl.js";
import { whyNot } from "../testbed/foreign.js";
import { type KerberosModule, kerberosModule } from "../testbed/kerberos-module.js";
import { ALICE, BOB } from "../testbed/local-accounts.js";
import { startLogonOrigin } from "../testbed/logon-origin.js";
import type { LocalUser } from "../testbed/ntlm-handshake.js";
import type { OriginUnderTest } from "../testbed/origin-under-test.js";
import { requestsNtlm } from "../testbed/requests-ntlm.js";
import { startKdc, type TicketServer } from "../testbed/testbed.js";

/* curl and requests-ntlm against the origin command: local accounts, and the realm of an MIT KDC. */
const reason = whyNot("curl's logon", ["curl", "kdc", "openssl"]);
const START_TIMEOUT_MS = 90_000;
const WRONG = "not-it-1";

describe.skipIf(reason !== undefined)("curl", () => {
  let folder: string;
  let kdc: TicketServer;
  let kerberos: KerberosModule;
  let ca: TestCa;
  let clients: Record<"oneToOne" | "manyToOne" | "denied" | "unmapped" | "expired", KeyPair>;
  let origin: OriginUnderTest;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ckauth-"));
    [kdc, kerberos] = await Promise.all([startKdc(), kerberosModule()]);
    ca = await TestCa.create(join(folder, "ca"), "/O=Contoso/CN=Contoso CA");
    clients = {
      oneToOne: await ca.issue({ subject: "/CN=One" }),
      manyToOne: await ca.issue({ subject: "/O=Contoso/OU=Branch 7/CN=Many" }),
      denied: await ca.issue({ subject: "/O=Contoso/OU=Branch 8/CN=Many" }),
      unmapped: await ca.issue({ subject: "/CN=Branch 7" }),
      expired: await ca.issue({ subject: "/O=Contoso/OU=Branch 7/CN=Old", isExpired: true }),
    };
    origin = await startLogonOrigin({
      folder,
      kdc,
      kerberos,
      ca,
      clientCertificates: {
        crl: [ca.crl],
        oneToOneMappings: [{ sha256: await TestCa.sha256(clients.oneToOne), account: "alice" }],
        manyToOneMappings: [
          { permission: "deny", rules: [rule("Branch 8")] },
          { permission: "permit", account: "alice", rules: [rule("Branch *")] },
        ],
      },
      rights: { read: ["alice", "MEDV\\alice"] },
    });
  }, START_TIMEOUT_MS);

  afterAll(async () => {
    await origin?.stop();
    await kdc?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const secure = (): string[] => ["--cacert", ca.cert, origin.securePackUrl];

  it("is told of Negotiate, NTLM and Basic over TLS, and of no Basic without", async () => {
    expect(schemes((await curl(secure())).headers)).toEqual(["Negotiate", "NTLM", "Basic"]);
    expect(schemes((await curl([origin.packUrl])).headers)).toEqual(["Negotiate", "NTLM"]);
  });

  it("logs on by Basic over TLS only", async () => {
    expect((await curl(["--basic", ...as(ALICE, ALICE.password), ...secure()])).status).toBe(200);
    expect((await curl(["--basic", ...as(BOB, BOB.password), ...secure()])).status).toBe(403);
    expect((await curl(["--basic", ...as(ALICE, WRONG), ...secure()])).status).toBe(401);
    expect((await curl(["--basic", ...as(ALICE, ALICE.password), origin.packUrl])).status).toBe(401);
  });

  it.each(["http", "https"])("logs on by NTLM over %s, over one connection", async (scheme) => {
    const target = scheme === "http" ? [origin.packUrl] : secure();
    const alice = await curl(["--ntlm", ...as(ALICE, ALICE.password), ...target]);
    expect([alice.status, alice.connects]).toEqual([200, 1]);
    expect((await curl(["--ntlm", ...as(BOB, BOB.password), ...target])).status).toBe(403);
    expect((await curl(["--ntlm", ...as(ALICE, WRONG), ...target])).status).toBe(401);
    expect((await curl(["--ntlm", "-u", `nobody:${WRONG}`, ...target])).status).toBe(401);
    expect((await curl(["--ntlm", "-u", ":", ...target])).status).toBe(401);
  });

  it("fetches further ranges on its connection after one handshake", async () => {
    const more = ["-o", "/dev/null", origin.packUrl, "-o", "/dev/null", origin.packUrl];
    const answer = await curl([
      "--ntlm",
      ...as(ALICE, ALICE.password),
      "-r",
      "0-999",
      origin.packUrl,
      ...more,
    ]);
    expect([answer.statuses, answer.connects, answer.bytes]).toEqual([[206, 206, 206], 1, 3000]);
    // The 401 with the challenge is the only one.
    expect(answer.headers.match(/^HTTP\/1.1 401/gm)).toHaveLength(1);
  });

  it.for(["http", "https"])(
    "logs on by Kerberos over %s with a ticket of the MIT KDC",
    async (scheme, { skip }) => {
      if (kerberos.type === "missing") return skip(kerberos.reason);
      const args = ["--negotiate", "-u", ":", ...(scheme === "http" ? [origin.packUrl] : secure())];
      const alice = await curl(args, await kdc.ticket("alice", ALICE.password));
      expect([alice.status, alice.connects]).toEqual([200, 1]);
      expect(alice.headers).toMatch(/^WWW-Authenticate: Negotiate \S+/im);
      expect((await curl(args, await kdc.ticket("bob", BOB.password))).status).toBe(403);
      expect((await curl(args)).status).toBe(401);
    },
  );

  it("logs on by NTLM inside SPNEGO with gss-ntlmssp, which signs the list of mechanisms", async ({
    skip,
  }) => {
    const missing = whyNot("gss-ntlmssp", ["gss-ntlmssp"]);
    if (missing !== undefined) return skip(missing);
    const file = join(folder, "ntlm-user");
    for (const [password, expected] of [
      [ALICE.password, 200],
      [WRONG, 401],
    ] as const) {
      writeFileSync(file, `:alice:${password}\n`, { mode: 0o600 });
      const answer = await curl(["--negotiate", "-u", ":", origin.packUrl], { NTLM_USER_FILE: file });
      expect(answer.status).toBe(expected);
    }
  });

  /** By the listener that requires certificates. */
  async function get(pair?: KeyPair): Promise<number> {
    const own = pair === undefined ? [] : ["--cert", pair.cert, "--key", pair.key];
    return (await curl(["--cacert", ca.cert, ...own, `${origin.certUrl}${origin.packPath}`])).status;
  }

  it("logs on by certificate at the listener for certificates", async () => {
    expect(await get(clients.oneToOne)).toBe(200);
    expect(await get(clients.manyToOne)).toBe(200);
    for (const pair of [clients.denied, clients.unmapped, clients.expired, undefined])
      expect(await get(pair)).toBe(403);
  });

  it("requests-ntlm logs on with channel binding and without", async ({ skip }) => {
    const missing = whyNot("requests-ntlm", ["requests-ntlm"]);
    if (missing !== undefined) return skip(missing);
    const user = { user: ALICE.account, password: ALICE.password, requests: 3 };
    expect(await requestsNtlm({ ...user, url: origin.packUrl, sendCbt: false })).toEqual([206, 206, 206]);
    const tls = { ...user, url: origin.securePackUrl, ca: ca.cert };
    expect(await requestsNtlm({ ...tls, sendCbt: true })).toEqual([206, 206, 206]);
    expect(await requestsNtlm({ ...tls, sendCbt: false })).toEqual([206, 206, 206]);
  });
});

const as = ({ account }: LocalUser, password: string): string[] => ["-u", `${account}:${password}`];
const rule = (match: string): unknown => ({ field: "subject", sub: "OU", match });
const schemes = (headers: string): string[] =>
  [...headers.matchAll(/^WWW-Authenticate: (\w+)/gim)].map(([, scheme]) => scheme ?? "");
