import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Apache, startApache } from "../testbed/apache.js";
import { issueForLoopback, type KeyPair, TestCa } from "../testbed/certificates.js";
import { whyNot } from "../testbed/foreign.js";
import { type KerberosModule, kerberosModule } from "../testbed/kerberos-module.js";
import { ALICE, BOB, CAROL } from "../testbed/local-accounts.js";
import { startLogonOrigin } from "../testbed/logon-origin.js";
import { IMAGE, type OriginUnderTest } from "../testbed/origin-under-test.js";
import { mustRun } from "../testbed/run-program.js";
import { startKdc, type TicketServer } from "../testbed/testbed.js";
import { type Finished, jsonLines, runCkmesh } from "./run-ckmesh.js";

/*
 * The client command against Apache (Kerberos by mod_auth_gssapi, Basic) and against the origin command, by each
 * method. alice may read, bob may not.
 */
const reason = whyNot("the client's logon", ["kdc", "apache", "openssl"]);
const START_TIMEOUT_MS = 90_000;
const DONE = [0, undefined];

describe.skipIf(reason !== undefined)("the client command", () => {
  let folder: string;
  let kdc: TicketServer;
  let kerberos: KerberosModule;
  let ca: TestCa;
  let client: KeyPair;
  let origin: OriginUnderTest;
  let tls: KeyPair;
  /** As on a stock web server: the name without a number is the newest version. */
  let www: string;
  let passwordOf: Readonly<Record<string, string>>;
  const servers: Apache[] = [];
  let stores = 0;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ckauth-"));
    chmodSync(folder, 0o755); // Apache's own account reads the images.
    [kdc, kerberos] = await Promise.all([startKdc(), kerberosModule()]);
    ca = await TestCa.create(join(folder, "ca"), "/O=Contoso/CN=Contoso CA");
    tls = await issueForLoopback(ca);
    client = await ca.issue({ subject: "/O=Contoso/OU=Images/CN=Branch 7" });
    passwordOf = Object.fromEntries(
      [ALICE, BOB, CAROL, { account: "wrong", password: "not-it" }].map(({ account, password }) => {
        const file = join(folder, `${account}.password`);
        writeFileSync(file, `${password}\n`, { mode: 0o600 });
        return [account, file];
      }),
    );
    origin = await startLogonOrigin({
      folder,
      kdc,
      kerberos,
      ca,
      tls,
      clientCertificates: {
        manyToOneMappings: [
          {
            permission: "permit",
            account: "alice",
            rules: [{ field: "subject", sub: "OU", match: "Images" }],
          },
        ],
      },
      rights: { read: ["alice", "MEDV\\alice"] },
    });
    www = join(folder, "www");
    mkdirSync(www);
    for (const suffix of [".ckm", ".ckm.index"]) {
      for (const name of [IMAGE, `${IMAGE}_1`]) {
        copyFileSync(join(folder, "images", `${IMAGE}_1${suffix}`), join(www, `${name}${suffix}`));
      }
    }
  }, START_TIMEOUT_MS);

  afterAll(async () => {
    await origin?.stop();
    await Promise.all(servers.map((server) => server.stop()));
    await kdc?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function apache(
    modules: readonly string[],
    protection: readonly string[],
    isTls: boolean,
  ): Promise<Apache> {
    const server = await startApache({
      root: www,
      modules,
      protection,
      ...(isTls ? { tls } : {}),
      env: { KRB5_CONFIG: kdc.env["KRB5_CONFIG"] ?? "" },
    });
    servers.push(server);
    return server;
  }

  /** Fetches the image once into a new store. */
  async function fetchOnce(
    url: string,
    flags: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Finished> {
    stores += 1;
    const store = join(folder, `store-${stores}`);
    mkdirSync(store);
    const fixed = ["--store", store, "--image", IMAGE, "--once", "--listen", "127.0.0.1:0", "--json"];
    const trust = url.startsWith("https:") ? ["--ca", ca.cert] : [];
    const own = kerberos.type === "there" ? kerberos.env : {};
    return runCkmesh(["client", "run", "--origin", url, ...fixed, ...trust, ...flags], {
      env: { ...own, KRB5CCNAME: "FILE:/nonexistent", ...env },
    });
  }

  const user = (account: string): string[] => [
    "--user",
    account,
    "--password-file",
    passwordOf[account] ?? "",
  ];

  describe("against Apache", () => {
    it("logs on by Kerberos to mod_auth_gssapi with the user's ticket", async ({ skip }) => {
      if (kerberos.type === "missing") return skip(kerberos.reason);
      chmodSync(kdc.folder, 0o755);
      chmodSync(kdc.env["KRB5_KTNAME"] ?? "", 0o644);
      const protection = [
        "AuthType GSSAPI",
        "AuthName images",
        `GssapiCredStore keytab:${kdc.env["KRB5_KTNAME"]}`,
        "GssapiAllowedMech krb5",
        "Require user alice@MEDV.TEST",
      ];
      const server = await apache(["auth_gssapi"], protection, false);
      const run = await fetchOnce(server.url, ["--negotiate"], await kdc.ticket("alice", ALICE.password));
      expect(outcome(run)).toEqual(DONE);
      expect(server.accessLog()).toContain("alice@MEDV.TEST 206");
      const noTicket = await fetchOnce(server.url, ["--negotiate"]);
      expect([noTicket.exitCode, noTicket.stdout]).toEqual([
        3,
        expect.stringContaining("no Kerberos ticket"),
      ]);
    });

    it("logs on by Basic over TLS, and sends no password without TLS", async () => {
      const file = join(folder, "htpasswd");
      const hash = await mustRun("openssl", ["passwd", "-6", ALICE.password]);
      writeFileSync(file, `alice:${hash}`, { mode: 0o644 });
      const protection = ["AuthType Basic", "AuthName images", `AuthUserFile ${file}`, "Require valid-user"];
      const secure = await apache(["authn_file", "auth_basic"], protection, true);
      expect((await fetchOnce(secure.url, user("alice"))).exitCode).toBe(0);
      expect((await fetchOnce(secure.url, user("bob"))).exitCode).toBe(3);
      const plain = await apache(["authn_file", "auth_basic"], protection, false);
      const refused = await fetchOnce(plain.url, user("alice"));
      expect(outcome(refused)).toEqual([78, "ERR_CONFIG_INVALID"]);
      expect(plain.accessLog()).not.toContain("alice");
    });
  });

  describe("against the origin", () => {
    it.each([
      ["Basic over TLS", "https", []],
      ["NTLM", "http", ["--ntlm"]],
      ["NTLM over TLS", "https", ["--ntlm"]],
      ["NTLM inside Negotiate, having no ticket", "http", ["--negotiate"]],
      ["NTLM inside Negotiate over TLS", "https", ["--negotiate"]],
    ] as const)(
      "logs on by %s, and is refused without the right or with a wrong password",
      async (_, scheme, flags) => {
        const url = images(scheme === "https" ? origin.httpsUrl : origin.httpUrl);
        const users = [
          user("alice"),
          user("bob"),
          ["--user", "alice", "--password-file", passwordOf["wrong"] ?? ""],
        ];
        const runs = await Promise.all(users.map(async (who) => fetchOnce(url, [...flags, ...who])));
        expect(runs.map(outcome)).toEqual([DONE, [3, "ERR_AUTH_FORBIDDEN"], [3, "ERR_AUTH_REQUIRED"]]);
      },
    );

    it.for(["http", "https"])("logs on by Kerberos over %s", async (scheme, { skip }) => {
      if (kerberos.type === "missing") return skip(kerberos.reason);
      const url = images(scheme === "https" ? origin.httpsUrl : origin.httpUrl);
      const tickets = [await kdc.ticket("alice", ALICE.password), await kdc.ticket("bob", BOB.password)];
      const runs = await Promise.all(tickets.map(async (ticket) => fetchOnce(url, ["--negotiate"], ticket)));
      expect(runs.map(outcome)).toEqual([DONE, [3, "ERR_AUTH_FORBIDDEN"]]);
    });

    it("logs on by its certificate", async () => {
      const url = images(origin.certUrl);
      const flags = [["--cert", client.cert, "--key", client.key], []];
      const runs = await Promise.all(flags.map(async (own) => fetchOnce(url, own)));
      expect(runs.map(outcome)).toEqual([DONE, [3, "ERR_AUTH_FORBIDDEN"]]);
    });

    it("does not lock an account at ten wrong passwords by four runs with a wrong one", async () => {
      const url = images(origin.httpUrl);
      const wrong = ["--user", "carol", "--password-file", passwordOf["wrong"] ?? ""];
      const runs = await Promise.all([1, 2, 3, 4].map(async () => fetchOnce(url, ["--ntlm", ...wrong])));
      expect(runs.map(outcome)).toEqual(Array.from(runs, () => [3, "ERR_AUTH_REQUIRED"]));
      expect(outcome(await fetchOnce(url, ["--ntlm", ...user("carol")]))).toEqual([3, "ERR_AUTH_FORBIDDEN"]);
    });
  });

  async function doctor(
    url: string,
    flags: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Finished> {
    const own = kerberos.type === "there" ? kerberos.env : {};
    return runCkmesh(["doctor", url, "--image", IMAGE, "--json", ...flags], {
      env: { ...own, KRB5CCNAME: "FILE:/nonexistent", ...env },
    });
  }

  describe("doctor", () => {
    it("says that every method works for an account with the right, by password and by ticket", async ({
      skip,
    }) => {
      const url = images(origin.httpsUrl);
      const trust = ["--ca", ca.cert];
      const byPassword = await doctor(url, [...trust, ...user("alice")]);
      expect([byPassword.exitCode, finding(byPassword, "logon")]).toEqual([0, "works with NTLM, Basic"]);
      expect(finding(byPassword, "methods")).toContain("negotiate, ntlm, basic");
      if (kerberos.type === "missing") return skip(kerberos.reason);
      const byTicket = await doctor(
        url,
        [...trust, "--negotiate"],
        await kdc.ticket("alice", ALICE.password),
      );
      expect([byTicket.exitCode, finding(byTicket, "logon")]).toEqual([0, "works with Kerberos"]);
    });

    it("fails for an account without the right, for a wrong password, and without credentials", async () => {
      const url = images(origin.httpsUrl);
      const wrong = ["--user", "bob", "--password-file", passwordOf["wrong"] ?? ""];
      const runs = await Promise.all(
        [user("bob"), wrong, []].map(async (who) => doctor(url, ["--ca", ca.cert, ...who])),
      );
      expect(runs.map(({ exitCode }) => exitCode)).toEqual([3, 3, 3]);
      expect(runs[0]?.stdout).toContain("ERR_AUTH_FORBIDDEN");
      expect(runs.map((run) => finding(run, "logon"))).toEqual([
        "works with NTLM, Basic",
        expect.stringContaining("NTLM: the server refused user or password"),
        "no credentials are configured",
      ]);
    });
  });
});

/** What doctor found out about something. */
function finding(run: Finished, check: string): unknown {
  return jsonLines(run).find((line) => line["event"] === "finding" && line["check"] === check)?.["message"];
}

const images = (base: string): string => `${base}/MEDVImages`;

/** Exit code, and the code of the error that ended the run. */
function outcome(run: Finished): readonly [number | null, unknown] {
  return [run.exitCode, jsonLines(run).find((line) => line["type"] === "exit_error")?.["code"]];
}
