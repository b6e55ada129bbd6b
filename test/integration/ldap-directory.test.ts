import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CertificateMapper } from "@ckmesh/auth";
import { silentLogger } from "@ckmesh/core";
import { TestCa, VirtualClock } from "@ckmesh/testkit";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { DirectoryGroups } from "../../packages/origin/src/directory/directory-groups.js";
import {
  LdapDirectory,
  type LdapDirectoryOptions,
} from "../../packages/origin/src/directory/ldap-directory.js";
import { LdapPasswordJudge } from "../../packages/origin/src/directory/ldap-password-judge.js";
import { LdapSession } from "../../packages/origin/src/directory/ldap-session.js";
import { LookupCache } from "../../packages/origin/src/directory/lookup-cache.js";
import { whyNot } from "../testbed/foreign.js";
import { type DomainController, startDomainController } from "../testbed/testbed.js";

const PASSWORD = "Alice-Pw1";
const BASE = "DC=medv,DC=test";
const ALICE = { name: "MEDV\\alice", account: "alice", domain: "MEDV" };
const CACHE_MS = 300_000;
const unavailable = expect.objectContaining({ code: "ERR_AUTH_UNAVAILABLE" });
const reason = whyNot("an Active Directory asked over LDAP", ["samba"]);

describe.skipIf(reason !== undefined)("Active Directory over LDAP", () => {
  let dc: DomainController;
  let folder: string;
  let opened: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ckmesh-ldap-"));
    const accounts = ["alice", "reader", "dora", "expired", "locked", "twin1", "twin2"];
    dc = await startDomainController(
      accounts.map((account) => ({ account, password: account === "reader" ? "Reader-Pw1" : PASSWORD })),
    );
    await dc.tool("user", "create", "o'brien", PASSWORD);
    for (const group of ["Branch Admins", "All Branches", "Outer", "Others"])
      await dc.tool("group", "add", group);
    await dc.tool("group", "addmembers", "Branch Admins", "alice");
    await dc.tool("group", "addmembers", "All Branches", "Branch Admins");
    await dc.tool("group", "addmembers", "Outer", "All Branches");
    await dc.tool("user", "disable", "dora");
    await dc.modify(change("expired", "accountExpires", "116444736000000000"));
  }, 180_000);
  afterEach(async () => {
    await Promise.all(opened.map((end) => end()));
    opened = [];
  });
  afterAll(async () => {
    await dc?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it("knows nested groups and the primary group, and none of the domain controller's own", async () => {
    const { directory } = open();
    const groups = await directory.groupsOf(ALICE);
    expect(groups.toSorted()).toEqual([
      "MEDV\\All Branches",
      "MEDV\\Branch Admins",
      "MEDV\\Domain Users",
      "MEDV\\Outer",
    ]);
    expect(await directory.groupsOf({ name: "alice", account: "alice" })).toEqual([]);
    expect(await directory.groupsOf({ ...ALICE, domain: "EVIL" })).toEqual([]);
    expect(await directory.groupsOf({ name: "MEDV\\nobody", account: "nobody", domain: "MEDV" })).toEqual([]);
  });

  it("finds the same groups by searches where it may not read what the directory computes", async () => {
    await dc.tool("group", "add", "Of everybody");
    await dc.tool("group", "addmembers", "Of everybody", "Domain Users");
    await dc.tool("group", "add", "Mail only", "--group-type=Distribution");
    await dc.tool("group", "addmembers", "Mail only", "alice");
    const { directory, session, groups } = openGroups();
    const account = await directory.findLogonName({ account: "alice", domain: "MEDV" });
    if (account === undefined) throw new Error("unreachable: she is there");
    const fromToken = await groups.fromToken(account);
    const fromMemberships = await groups.fromMemberships(account);
    await session.close();
    expect(fromToken.toSorted()).toEqual([
      "All Branches",
      "Branch Admins",
      "Domain Users",
      "Of everybody",
      "Outer",
    ]);
    expect(fromMemberships.toSorted()).toEqual(fromToken.toSorted());
  });

  it("takes names as values: no part of a filter gets through", async () => {
    const { directory } = open();
    const found = await Promise.all(
      ["*", "ali*", "alice)(objectClass=*", "al\\69ce", "alice\u0000", "*)(|(a=*"].map((account) =>
        directory.findByUpn(`${account}@medv.test`),
      ),
    );
    expect(found).toEqual([undefined, undefined, undefined, undefined, undefined, undefined]);
    expect(await directory.findByUpn("o'brien@medv.test")).toMatchObject({ name: "MEDV\\o'brien" });
  });

  it("checks passwords in all forms of names, never an empty one", async () => {
    const { directory } = open();
    const judge = new LdapPasswordJudge(directory, "");
    const forms = ["", "MEDV", "medv", "medv.test", "MEDV.TEST"].map((domain) => ({
      account: "Alice",
      domain,
    }));
    expect(await Promise.all(forms.map((name) => judge.check(name, PASSWORD)))).toEqual(
      forms.map(() => ALICE),
    );
    const refused = [
      judge.check({ account: "alice", domain: "" }, "wrong"),
      judge.check({ account: "alice", domain: "" }, ""),
      judge.check({ account: "", domain: "" }, PASSWORD),
      judge.check({ account: "nobody", domain: "" }, PASSWORD),
      judge.check({ account: "alice", domain: "EVIL" }, PASSWORD),
      judge.check({ account: "dora", domain: "" }, PASSWORD),
      judge.check({ account: "expired", domain: "" }, PASSWORD),
    ];
    expect(await Promise.all(refused)).toEqual(refused.map(() => undefined));
    expect(
      await new LdapPasswordJudge(directory, "EVIL").check({ account: "alice", domain: "" }, PASSWORD),
    ).toBe(undefined);
  });

  it("does the same by StartTLS, and refuses a server that its CA does not vouch for", async () => {
    const startTls = { url: `ldap://${dc.ip}`, startTls: true };
    const { directory } = open(startTls);
    expect(await directory.findByUpn("alice@medv.test")).toEqual(ALICE);
    const judge = new LdapPasswordJudge(directory, "");
    expect(await judge.check({ account: "alice", domain: "" }, PASSWORD)).toEqual(ALICE);
    const stranger = TestCa.createRoot(join(folder, "stranger"), "/CN=stranger").certificate.certFile;
    for (const how of [startTls, {}]) {
      const { directory: misled } = open({ ...how, caFile: stranger });
      await expect(misled.findByUpn("alice@medv.test")).rejects.toEqual(unavailable);
    }
  });

  it("checks no password without TLS, and goes without TLS only when told", () => {
    const plain = { url: `ldap://${dc.ip}` };
    expect(() => open(plain)).toThrow(expect.objectContaining({ code: "ERR_CONFIG_INVALID" }));
    const { directory } = open({ ...plain, allowPlain: true });
    expect(() => new LdapPasswordJudge(directory, "")).toThrow(
      expect.objectContaining({ code: "ERR_CONFIG_INVALID" }),
    );
  });

  it("finds the owner of a certificate by principal name and by altSecurityIdentities, if the account is usable", async () => {
    const ca = TestCa.createRoot(join(folder, "listed"), "/DC=test/DC=medv/CN=MEDV Issuing CA");
    const other = TestCa.createRoot(join(folder, "other"), "/DC=test/DC=medv/CN=MEDV Issuing CA");
    const { directory } = open();
    const mapper = new CertificateMapper(
      {
        oneToOne: [],
        manyToOne: [],
        directory: {
          issuers: [new X509Certificate(ca.certificate.cert)],
          upn: true,
          suffixes: ["medv.test"],
          altSecurityIdentities: true,
          weakForms: false,
        },
      },
      directory,
    );
    const owner = async (issuer: TestCa, options: { upn?: string; serial?: string; subject?: string }) => {
      const { upn, serial, subject = "/CN=somebody" } = options;
      const certificate = issuer.issue({
        subject,
        ...(upn === undefined ? {} : { altName: `otherName:msUPN;UTF8:${upn}` }),
        ...(serial === undefined ? {} : { serial }),
      });
      const verdict = await mapper.map(new X509Certificate(certificate.cert).raw);
      return verdict.type === "mapped" ? verdict.identity.name : verdict.type;
    };
    await dc.modify(
      change("alice", "altSecurityIdentities", "X509:<I>DC=test,DC=medv,CN=MEDV Issuing CA<SR>efbeadde"),
    );
    await dc.modify(
      change("dora", "altSecurityIdentities", "X509:<I>DC=test,DC=medv,CN=MEDV Issuing CA<SR>0df0"),
    );
    for (const twin of ["twin1", "twin2"]) {
      await dc.modify(
        change(twin, "altSecurityIdentities", "X509:<I>DC=test,DC=medv,CN=MEDV Issuing CA<SR>77"),
      );
    }
    expect(await owner(ca, { upn: "Alice@MEDV.test" })).toBe("MEDV\\alice");
    expect(await owner(ca, { serial: "DEADBEEF" })).toBe("MEDV\\alice");
    // Signed by a CA of the same name that nobody listed.
    expect(await owner(other, { upn: "alice@medv.test" })).toBe("unmapped");
    expect(await owner(other, { serial: "DEADBEEF" })).toBe("unmapped");
    // Disabled, expired, claimed by two accounts, nobody's.
    expect(await owner(ca, { upn: "dora@medv.test" })).toBe("unmapped");
    expect(await owner(ca, { serial: "F00D" })).toBe("unmapped");
    expect(await owner(ca, { upn: "expired@medv.test" })).toBe("unmapped");
    expect(await owner(ca, { serial: "77" })).toBe("unmapped");
    expect(await owner(ca, { upn: "alice@elsewhere.test" })).toBe("unmapped");
    expect(await owner(ca, { subject: "/CN=alice" })).toBe("unmapped");
  });

  it("refuses the certificate of an account that wrong passwords have locked", async () => {
    await dc.tool("domain", "passwordsettings", "set", "--account-lockout-threshold=3");
    const { directory } = open();
    const judge = new LdapPasswordJudge(directory, "");
    for (let i = 0; i < 4; i += 1) await judge.check({ account: "locked", domain: "" }, `wrong ${i}`);
    const { directory: fresh } = open();
    expect(await fresh.findByUpn("locked@medv.test")).toBe(undefined);
    expect(await fresh.findByUpn("twin1@medv.test")).toMatchObject({ account: "twin1" });
  });

  it("asks again on a new connection when the kept one broke, and once for the same question", async () => {
    const proxy = await openProxy(dc.ip);
    const { directory, clock } = open({ url: proxy.url, allowPlain: true });
    await Promise.all([directory.groupsOf(ALICE), directory.groupsOf(ALICE), directory.groupsOf(ALICE)]);
    expect(proxy.connections()).toBe(1);
    const before = proxy.bytes();
    await directory.groupsOf(ALICE);
    expect(proxy.bytes()).toBe(before);
    clock.advance(CACHE_MS);
    proxy.cut();
    expect(await directory.groupsOf(ALICE)).toContain("MEDV\\Branch Admins");
    expect(proxy.connections()).toBe(2);
  });

  it("says ERR_AUTH_UNAVAILABLE while the server is gone, but for what the cache holds, and recovers", async () => {
    const proxy = await openProxy(dc.ip);
    const { directory, clock } = open({ url: proxy.url, allowPlain: true });
    const groups = await directory.groupsOf(ALICE);
    proxy.refuse(true);
    proxy.cut();
    expect(await directory.groupsOf(ALICE)).toEqual(groups);
    await expect(directory.findByUpn("twin1@medv.test")).rejects.toEqual(unavailable);
    const tried = proxy.connections();
    await expect(directory.findByUpn("twin1@medv.test")).rejects.toEqual(unavailable);
    // Whoever asks within the pause is told at once.
    expect(proxy.connections()).toBe(tried);
    proxy.refuse(false);
    clock.advance(60_000);
    expect(await directory.findByUpn("twin1@medv.test")).toMatchObject({ account: "twin1" });
  });

  it("says ERR_AUTH_UNAVAILABLE when its own password is wrong, or the domain controller has stopped", async () => {
    const { directory: wrong } = open({ bindPassword: "wrong" });
    await expect(wrong.groupsOf(ALICE)).rejects.toEqual(unavailable);
    const { directory } = open();
    const judge = new LdapPasswordJudge(directory, "");
    await judge.check({ account: "alice", domain: "" }, PASSWORD);
    await dc.stop();
    await expect(judge.check({ account: "alice", domain: "" }, PASSWORD)).rejects.toEqual(unavailable);
    await expect(directory.findByUpn("twin2@medv.test")).rejects.toEqual(unavailable);
  });

  function openGroups() {
    const options = settings(new VirtualClock(Date.now()));
    const session = new LdapSession(options);
    const names = new LookupCache<string>({
      foundMs: 1,
      missingMs: 1,
      maxEntries: 100,
      clock: options.clock,
    });
    return { ...open(), session, groups: new DirectoryGroups({ session, baseDn: BASE, names }) };
  }

  function open(options: Partial<LdapDirectoryOptions> = {}) {
    const clock = new VirtualClock(Date.now());
    const directory = new LdapDirectory({ ...settings(clock), ...options });
    opened.push(() => directory.close());
    return { directory, clock };
  }

  function settings(clock: VirtualClock): LdapDirectoryOptions {
    return {
      url: dc.ldapsUrl,
      startTls: false,
      allowPlain: false,
      caFile: dc.ldapCa,
      bindDn: `CN=reader,CN=Users,${BASE}`,
      bindPassword: "Reader-Pw1",
      baseDn: BASE,
      netbiosDomain: "MEDV",
      cacheMs: CACHE_MS,
      clock,
      logger: silentLogger,
    };
  }

  /** Stands before the server's plain port, so that connections can be cut. */
  async function openProxy(ip: string) {
    const sockets = new Set<Socket>();
    let connections = 0;
    let bytes = 0;
    let isRefusing = false;
    const server = createServer((client) => {
      connections += 1;
      if (isRefusing) {
        client.destroy();
        return;
      }
      const upstream = connectTcp(389, ip);
      for (const socket of [client, upstream]) {
        sockets.add(socket);
        socket.on("error", () => socket.destroy());
        socket.on("close", () => {
          sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      client.on("data", (part) => {
        bytes += part.length;
      });
      client.pipe(upstream).pipe(client);
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const address = server.address();
    if (typeof address !== "object" || address === null) throw new Error("unreachable: it listens");
    const cut = (): void => {
      for (const socket of sockets) socket.destroy();
    };
    opened.push(async () => {
      cut();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    });
    return {
      url: `ldap://127.0.0.1:${address.port}`,
      connections: () => connections,
      bytes: () => bytes,
      refuse: (refuse: boolean) => {
        isRefusing = refuse;
      },
      cut,
    };
  }
});

function change(account: string, attribute: string, value: string): string {
  return `dn: CN=${account},CN=Users,${BASE}\nchangetype: modify\nreplace: ${attribute}\n${attribute}: ${value}\n`;
}
