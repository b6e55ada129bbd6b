import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { issueForLoopback, type KeyPair, TestCa } from "../testbed/certificates.js";
import { curl } from "../testbed/curl.js";
import { whyNot } from "../testbed/foreign.js";
import { type KerberosModule, kerberosModule } from "../testbed/kerberos-module.js";
import { OriginUnderTest } from "../testbed/origin-under-test.js";
import { requestsNtlm } from "../testbed/requests-ntlm.js";
import { type DomainController, startDomainController } from "../testbed/testbed.js";

/*
 * The origin in an Active Directory domain, logged on to by curl, curl with gss-ntlmssp, and Python's requests-ntlm.
 * alice may read through a nested group, bob may not.
 */
const reason = whyNot("the domain", ["samba", "curl", "gss-ntlmssp", "requests-ntlm"]);
const START_TIMEOUT_MS = 170_000;
const PASSWORDS = { alice: "Alice-Pw1", bob: "Bob-Pw1", svcldap: "Svc-Ldap-1" } as const;
const BASE = "DC=medv,DC=test";
const WRONG = "not-it-1";

describe.skipIf(reason !== undefined)("an origin in a Samba domain", () => {
  let folder: string;
  let dc: DomainController;
  let kerberos: KerberosModule;
  let serverCa: TestCa;
  let clientCa: TestCa;
  let certificates: Record<
    "byUpn" | "byIssuerSerial" | "byKeyId" | "bobByUpn" | "revoked" | "foreign" | "unmapped",
    KeyPair
  >;
  let origin: OriginUnderTest;
  let strict: OriginUnderTest;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ckauth-"));
    const users = Object.entries(PASSWORDS).map(([account, password]) => ({ account, password }));
    [dc, kerberos] = await Promise.all([startDomainController(users), kerberosModule()]);
    serverCa = await TestCa.create(join(folder, "server-ca"), "/CN=Server CA");
    clientCa = await TestCa.create(join(folder, "client-ca"), "/O=Contoso/CN=Contoso Client CA");
    const otherCa = await TestCa.create(join(folder, "other-ca"), "/O=Contoso/CN=Contoso Client CA");
    certificates = {
      byUpn: await clientCa.issue({ subject: "/O=Contoso/CN=Alice", upn: "alice@medv.test" }),
      byIssuerSerial: await clientCa.issue({ subject: "/O=Contoso/CN=Somebody" }),
      byKeyId: await clientCa.issue({ subject: "/O=Contoso/CN=Somebody Else" }),
      bobByUpn: await clientCa.issue({ subject: "/O=Contoso/CN=Bob", upn: "bob@medv.test" }),
      revoked: await clientCa.issue({ subject: "/O=Contoso/CN=Alice", upn: "alice@medv.test" }),
      foreign: await otherCa.issue({ subject: "/O=Contoso/CN=Alice", upn: "alice@medv.test" }),
      unmapped: await clientCa.issue({ subject: "/O=Contoso/CN=Nobody" }),
    };
    await clientCa.revoke(certificates.revoked);
    await dc.modify(directoryChanges(certificates.byIssuerSerial, certificates.byKeyId));
    const passwordFile = join(folder, "ldap-password");
    writeFileSync(passwordFile, `${PASSWORDS.svcldap}\n`, { mode: 0o600 });
    const start = async (extendedProtection: unknown, isTlsOnly: boolean): Promise<OriginUnderTest> => {
      const own = mkdtempSync(join(folder, "origin-"));
      return OriginUnderTest.start(
        {
          folder: own,
          isTlsOnly,
          tls: await issueForLoopback(serverCa),
          authentication: authentication(passwordFile, extendedProtection),
          rights: { read: ["MEDV\\Image Readers"] },
          settings: { certListen: "127.0.0.1:0" },
          env: {
            KRB5_CONFIG: dc.env["KRB5_CONFIG"] ?? "",
            ...(kerberos.type === "there" ? kerberos.env : {}),
          },
        },
        AbortSignal.timeout(START_TIMEOUT_MS),
      );
    };
    chmodSync(folder, 0o755);
    origin = await start({ tokenChecking: "Allow" }, false);
    strict = await start({ tokenChecking: "Require", spns: ["HTTP/localhost"] }, true);
  }, START_TIMEOUT_MS);

  afterAll(async () => {
    await origin?.stop();
    await strict?.stop();
    await dc?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function authentication(bindPasswordFile: string, extendedProtection: unknown): unknown {
    return {
      basic: { enabled: true, allowOverHttp: true },
      windows: {
        enabled: true,
        netbiosDomain: dc.domain,
        extendedProtection,
        kerberos: { keytab: dc.env["KRB5_KTNAME"], realms: [dc.env["KRB5_REALM"]] },
      },
      logon: { domain: "winbind", ntlmAuth: [dc.ntlmAuth] },
      directory: {
        url: dc.ldapsUrl,
        ca: dc.ldapCa,
        bindDn: `CN=svcldap,CN=Users,${BASE}`,
        bindPasswordFile,
        baseDn: BASE,
        netbiosDomain: dc.domain,
      },
      clientCertificates: {
        ca: clientCa.cert,
        crl: [clientCa.crl],
        directoryMapping: {
          issuers: clientCa.cert,
          upn: true,
          suffixes: ["medv.test"],
          altSecurityIdentities: true,
        },
      },
    };
  }

  const secure = (): string[] => ["--cacert", serverCa.cert];

  describe("by Kerberos", () => {
    it("lets curl --negotiate in with the ticket of a domain user, in one request and over one connection", async ({
      skip,
    }) => {
      if (kerberos.type === "missing") skip(kerberos.reason);
      const ticket = await dc.ticket("alice", PASSWORDS.alice);
      const plain = await curl(["--negotiate", "-u", ":", origin.packUrl], ticket);
      expect([plain.status, plain.connects]).toEqual([200, 1]);
      const tls = await curl([...secure(), "--negotiate", "-u", ":", origin.securePackUrl], ticket);
      expect([tls.status, tls.connects]).toEqual([200, 1]);
    });

    it("answers 403, not 401, to a domain user without the right", async ({ skip }) => {
      if (kerberos.type === "missing") skip(kerberos.reason);
      const ticket = await dc.ticket("bob", PASSWORDS.bob);
      expect((await curl(["--negotiate", "-u", ":", origin.packUrl], ticket)).status).toBe(403);
    });
  });

  describe("by NTLM through winbind", () => {
    it.each([["MEDV\\alice"], ["medv\\ALICE"], ["alice@medv.test"], ["alice"]])(
      "lets curl --ntlm in as %s",
      async (name) => {
        for (const args of [[origin.packUrl], [...secure(), origin.securePackUrl]]) {
          const answer = await curl(["--ntlm", "-u", `${name}:${PASSWORDS.alice}`, ...args]);
          expect([answer.status, answer.connects]).toEqual([200, 1]);
        }
      },
    );

    it("refuses a wrong password, an unknown user and an unknown domain alike", async () => {
      for (const user of [`MEDV\\alice:${WRONG}`, `MEDV\\nobody:${WRONG}`, `EVIL\\alice:${PASSWORDS.alice}`])
        expect((await curl(["--ntlm", "-u", user, origin.packUrl])).status).toBe(401);
    });

    it("answers 403 to a domain user without the right", async () => {
      expect((await curl(["--ntlm", "-u", `MEDV\\bob:${PASSWORDS.bob}`, origin.packUrl])).status).toBe(403);
    });

    it("lets requests-ntlm in, with and without channel binding, and keeps its connection", async () => {
      const user = { user: "MEDV\\alice", password: PASSWORDS.alice, requests: 3 };
      expect(await requestsNtlm({ ...user, url: origin.packUrl, sendCbt: false })).toEqual([206, 206, 206]);
      const tls = { ...user, url: origin.securePackUrl, ca: serverCa.cert };
      expect(await requestsNtlm({ ...tls, sendCbt: true })).toEqual([206, 206, 206]);
      expect(await requestsNtlm({ ...tls, sendCbt: false })).toEqual([206, 206, 206]);
    });

    it("asks for channel binding where it is required", async () => {
      const user = { user: "MEDV\\alice", password: PASSWORDS.alice, ca: serverCa.cert };
      expect(await requestsNtlm({ ...user, url: strict.securePackUrl, sendCbt: true })).toEqual([206]);
      expect(await requestsNtlm({ ...user, url: strict.securePackUrl, sendCbt: false })).toEqual([401]);
    });

    it("lets curl in that speaks NTLM inside SPNEGO through gss-ntlmssp", async () => {
      const file = join(folder, "ntlm-user");
      writeFileSync(file, `MEDV:alice:${PASSWORDS.alice}\n`, { mode: 0o600 });
      const args = ["--negotiate", "-u", ":", origin.packUrl];
      const right = await curl(args, { NTLM_USER_FILE: file });
      expect([right.status, right.connects]).toEqual([200, 1]);
      writeFileSync(file, `MEDV:alice:${WRONG}\n`, { mode: 0o600 });
      expect((await curl(args, { NTLM_USER_FILE: file })).status).toBe(401);
    });
  });

  describe("by Basic", () => {
    it.each([["MEDV\\alice"], ["alice@medv.test"], ["alice"]])("lets curl --basic in as %s", async (name) => {
      const answer = await curl([
        ...secure(),
        "--basic",
        "-u",
        `${name}:${PASSWORDS.alice}`,
        origin.securePackUrl,
      ]);
      expect(answer.status).toBe(200);
    });

    it("refuses a wrong password, and answers 403 to a user without the right", async () => {
      expect((await curl(["--basic", "-u", `MEDV\\alice:${WRONG}`, origin.packUrl])).status).toBe(401);
      expect((await curl(["--basic", "-u", `MEDV\\bob:${PASSWORDS.bob}`, origin.packUrl])).status).toBe(403);
    });
  });

  /** By the listener that requires certificates. */
  async function get(pair: KeyPair | undefined): Promise<number> {
    const own = pair === undefined ? [] : ["--cert", pair.cert, "--key", pair.key];
    return (await curl([...secure(), ...own, `${origin.certUrl}${origin.packPath}`])).status;
  }

  describe("by client certificate", () => {
    it("takes the user principal name of the certificate to the directory", async () => {
      expect(await get(certificates.byUpn)).toBe(200);
      expect(await get(certificates.bobByUpn)).toBe(403);
    });

    it("finds the account by issuer and serial number, and by key identifier, in altSecurityIdentities", async () => {
      expect(await get(certificates.byIssuerSerial)).toBe(200);
      expect(await get(certificates.byKeyId)).toBe(200);
    });

    it("refuses certificates that are revoked, of another CA of the same name, of nobody, and none", async () => {
      expect(await get(certificates.revoked)).toBe(403);
      expect(await get(certificates.foreign)).toBe(403);
      expect(await get(certificates.unmapped)).toBe(403);
      expect(await get(undefined)).toBe(403);
      // Also where the wrong signature showed before there was a request.
      await expect.poll(() => origin.audit()).toContain('"method":"certificate","status":"403.16"');
    });
  });

  it("writes down who came and how, and no password and no token", () => {
    const audit = origin.audit();
    for (const method of ["negotiate", "ntlm", "basic", "certificate"]) {
      expect(audit).toContain(
        `"outcome":"success","user":"MEDV\\\\alice","address":"127.0.0.1","method":"${method}"`,
      );
    }
    expect(audit).toMatch(/"outcome":"failure".*"method":"certificate","status":"403\.\d+"/);
    for (const log of [audit, origin.log()]) {
      for (const password of [...Object.values(PASSWORDS), WRONG]) expect(log).not.toContain(password);
      expect(log).not.toMatch(/TlRMTVNTUA|YII[A-Za-z0-9+/]{20}/);
    }
  });

  it("answers 503, not 401, when the domain is gone", async () => {
    await dc.stop();
    const ntlm = await curl(["--ntlm", "-u", `MEDV\\alice:${PASSWORDS.alice}`, origin.packUrl]);
    // One that is not remembered: right or wrong, nobody can say.
    const basic = await curl(["--basic", "-u", "MEDV\\alice:never-seen-1", origin.packUrl]);
    expect([ntlm.status, basic.status]).toEqual([503, 503]);
  });
});

/** alice is in Branch 7, which is in Image Readers; two of her certificates are listed with her account. */
function directoryChanges(byIssuerSerial: KeyPair, byKeyId: KeyPair): string {
  const users = `CN=Users,${BASE}`;
  const serial = openssl(byIssuerSerial, "-serial").replace("serial=", "");
  const reversed = serial.match(/../g)?.toReversed().join("") ?? "";
  const keyId =
    openssl(byKeyId, "-ext", "subjectKeyIdentifier").split("\n")[1]?.replaceAll(/[:\s]/g, "") ?? "";
  return `dn: CN=Branch 7,${users}
changetype: add
objectClass: group
sAMAccountName: Branch 7
member: CN=alice,${users}

dn: CN=Image Readers,${users}
changetype: add
objectClass: group
sAMAccountName: Image Readers
member: CN=Branch 7,${users}

dn: CN=alice,${users}
changetype: modify
add: altSecurityIdentities
altSecurityIdentities: X509:<I>O=Contoso,CN=Contoso Client CA<SR>${reversed.toLowerCase()}
altSecurityIdentities: X509:<SKI>${keyId.toLowerCase()}
`;
}

function openssl({ cert }: KeyPair, ...what: readonly string[]): string {
  return execFileSync("openssl", ["x509", "-in", cert, "-noout", ...what], { encoding: "utf8" }).trim();
}
