import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomInt, seededRandom } from "@ckmesh/core";
import { hasTool, TestCa } from "@ckmesh/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateCondition,
  CertificateMapper,
  type CertificateVerdict,
  type Directory,
  type DirectoryMapping,
  decideCertificate,
  type Identity,
} from "../../src/index.js";
import { buildCertificate, name } from "./certificate-builder.js";

const hasOpenssl = hasTool("openssl", ["version"], "mapping of certificates");
const configInvalid = expect.objectContaining({ code: "ERR_CONFIG_INVALID" });

describe("one-to-one mapping", () => {
  it("maps exactly the certificate whose SHA-256 is listed", async () => {
    const [first, second] = [buildCertificate(), buildCertificate({ subject: name("somebody ") })];
    const sha256 = createHash("sha256").update(first).digest("hex");
    const withColons = sha256.toUpperCase().match(/../g)?.join(":") ?? "";
    const mapper = new CertificateMapper({
      oneToOne: [{ sha256: withColons, account: "MEDV\\alice" }],
      manyToOne: [],
    });
    const alice = { name: "MEDV\\alice", account: "alice", domain: "MEDV" };
    expect(await mapper.map(first)).toEqual({ type: "mapped", identity: alice });
    expect(await mapper.map(second)).toEqual({ type: "unmapped" });
  });

  it("refuses what is no SHA-256, and one certificate twice", () => {
    expect(() => withPrints("ab")).toThrow(configInvalid);
    expect(() => withPrints("ab".repeat(32), "AB".repeat(32))).toThrow(configInvalid);
  });
});

describe.skipIf(!hasOpenssl)("mapping of certificates made by openssl", () => {
  let folder: string;
  let ca: TestCa;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "ckmesh-mapper-"));
    ca = TestCa.createRoot(join(folder, "root"), "/O=Contoso/CN=Contoso Issuing");
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("takes the first many-to-one rule of which all conditions hold, deny included", async () => {
    const mapper = new CertificateMapper({
      oneToOne: [],
      manyToOne: [
        rule("no guests", "deny", [is("subject", "OU", "Guests")]),
        rule("operators", "permit", [is("issuer", "O", "contoso"), is("subject", "ou", "Branch *")]),
        rule("all", "permit", [is("issuer", "CN", "Contoso*")]),
      ],
    });
    const accounts = await Promise.all(
      ["/OU=Guests/CN=a", "/OU=branch 7/CN=b", "/OU=x+OU=BRANCH 8/CN=c", "/OU=Branches/CN=d", "/CN=e"].map(
        async (subject) => outcome(await mapper.map(issue(subject))),
      ),
    );
    expect(accounts).toEqual(["denied", "operators", "operators", "all", "all"]);
  });

  it("compares parts of names, not what a name looks like when it is printed", async () => {
    const mapper = new CertificateMapper({
      oneToOne: [],
      manyToOne: [rule("staff", "permit", [is("subject", "O", "Contoso", true)])],
    });
    const accounts = await Promise.all(
      [
        "/CN=eve, O=Contoso",
        "/CN=eve\\/O=Contoso",
        "/OU=Contoso",
        "/O=contoso",
        "/O=Contoso Ltd",
        "/O=Contoso",
      ].map(async (subject) => outcome(await mapper.map(issue(subject)))),
    );
    expect(accounts).toEqual(["unmapped", "unmapped", "unmapped", "unmapped", "unmapped", "staff"]);
  });

  it("refuses rules without conditions, unknown parts of names, and a directory mapping without directory", () => {
    expect(() => withRule(rule("every", "permit", []))).toThrow(configInvalid);
    expect(() => withRule(rule("odd", "permit", [is("subject", "XX", "*")]))).toThrow(configInvalid);
    const directory = directoryMapping(ca);
    expect(() => new CertificateMapper({ oneToOne: [], manyToOne: [], directory })).toThrow(configInvalid);
  });

  it("asks the directory only about certificates that a listed CA has signed itself", async () => {
    const asked: string[] = [];
    const mapper = mapperOver(asked, directoryMapping(ca));
    const below = ca.createIntermediate(join(folder, "below"), "/O=Contoso/CN=Below");
    const sameName = TestCa.createRoot(join(folder, "same"), "/O=Contoso/CN=Contoso Issuing");
    const altName = "otherName:msUPN;UTF8:alice@medv.test";
    const verdicts = await Promise.all(
      [ca, below, sameName].map(async (issuer) => outcome(await mapper.map(issue("/CN=x", altName, issuer)))),
    );
    expect(verdicts).toEqual(["alice@medv.test", "unmapped", "unmapped"]);
    expect(asked).toEqual(["alice@medv.test"]);
  });

  it("takes a principal name with a listed suffix, the only one of the certificate", async () => {
    const mapper = mapperOver([], directoryMapping(ca));
    const verdicts = await Promise.all(
      [
        upnName("alice@MEDV.TEST"),
        upnName("alice@evil.test"),
        upnName("alice@medv.test.evil"),
        upnName("alice"),
        `${upnName("alice@medv.test")},${upnName("bob@medv.test")}`,
        "email:alice@medv.test",
      ].map(async (altName) => outcome(await mapper.map(issue("/CN=x", altName)))),
    );
    expect(verdicts).toEqual(["alice@MEDV.TEST", "unmapped", "unmapped", "unmapped", "unmapped", "unmapped"]);
  });

  it("asks for altSecurityIdentities first, by their strong forms alone", async () => {
    const asked: string[] = [];
    const mapper = mapperOver(asked, { ...directoryMapping(ca), altSecurityIdentities: true });
    await mapper.map(issue("/CN=x", "otherName:msUPN;UTF8:alice@medv.test"));
    expect(asked.map((value) => value.replace(/(?<=>)[0-9a-f]+$/, "…"))).toEqual([
      "X509:<I>O=Contoso,CN=Contoso Issuing<SR>…",
      "X509:<SKI>…",
      "X509:<SHA1-PUKEY>…",
      "X509:<SHA1-PUKEY>…",
      "alice@medv.test",
    ]);
  });

  it("gives a verdict on every mutation of a certificate, and maps none that its CA did not sign", async () => {
    const der = issue("/CN=x", "otherName:msUPN;UTF8:alice@medv.test");
    const mapper = mapperOver([], directoryMapping(ca));
    const random = seededRandom(7);
    const types = new Set<string>();
    for (let i = 0; i < 500; i += 1) {
      const mutant = Buffer.from(der);
      const at = randomInt(random, mutant.length);
      mutant[at] = (mutant[at] ?? 0) ^ (1 + randomInt(random, 255));
      types.add((await mapper.map(mutant)).type);
    }
    expect([...types].toSorted()).toEqual(["bad", "unmapped"]);
  });

  function issue(subject: string, altName?: string, issuer: TestCa = ca): Buffer {
    const { cert } = issuer.issue({ subject, ...(altName === undefined ? {} : { altName }) });
    return new X509Certificate(cert).raw;
  }
});

describe("decideCertificate", () => {
  const alice: Identity = { name: "alice", account: "alice" };

  it("answers what was presented and is bad with 403 and IIS's substatus, wherever it was asked for", () => {
    const faults = ["untrusted", "revoked", "revocationUnknown", "expired", "notYetValid", "denied"] as const;
    for (const mode of ["accept", "require"] as const) {
      expect(faults.map((fault) => subStatus(decideCertificate({ type: "bad", fault }, mode)))).toEqual([
        16, 13, 13, 17, 17, 12,
      ]);
    }
  });

  it("lets the other schemes decide without a certificate or account, but not where one is required", () => {
    expect(decideCertificate({ type: "none" }, "accept")).toEqual({ type: "continue" });
    expect(decideCertificate({ type: "unmapped" }, "accept")).toEqual({ type: "continue" });
    expect(subStatus(decideCertificate({ type: "none" }, "require"))).toBe(7);
    expect(subStatus(decideCertificate({ type: "unmapped" }, "require"))).toBe(12);
    expect(decideCertificate({ type: "mapped", identity: alice }, "require")).toEqual({
      type: "user",
      identity: alice,
    });
  });
});

function withPrints(...prints: readonly string[]): CertificateMapper {
  return new CertificateMapper({
    oneToOne: prints.map((sha256) => ({ sha256, account: "alice" })),
    manyToOne: [],
  });
}

function withRule(manyToOne: ReturnType<typeof rule>): CertificateMapper {
  return new CertificateMapper({ oneToOne: [], manyToOne: [manyToOne] });
}

function upnName(text: string): string {
  return `otherName:msUPN;UTF8:${text}`;
}

function subStatus(decision: ReturnType<typeof decideCertificate>): number | undefined {
  return decision.type === "forbidden" ? decision.subStatus : undefined;
}

function is(
  field: "issuer" | "subject",
  sub: string,
  match: string,
  caseSensitive: boolean = false,
): CertificateCondition {
  return { field, sub, match, caseSensitive };
}

function rule(account: string, permission: "permit" | "deny", rules: readonly CertificateCondition[]) {
  return { name: account, permission, account, rules };
}

function outcome(verdict: CertificateVerdict): string {
  if (verdict.type === "mapped") return verdict.identity.name;
  return verdict.type === "bad" ? verdict.fault : verdict.type;
}

function directoryMapping(ca: TestCa): DirectoryMapping {
  return {
    issuers: [new X509Certificate(ca.certificate.cert)],
    upn: true,
    suffixes: ["medv.test"],
    altSecurityIdentities: false,
    weakForms: false,
  };
}

/** Over a directory that knows every principal name, and writes down what it is asked. */
function mapperOver(asked: string[], mapping: DirectoryMapping): CertificateMapper {
  const directory: Directory = {
    groupsOf: () => Promise.resolve([]),
    findByUpn: (upn) => {
      asked.push(upn);
      return Promise.resolve({ name: upn, account: upn });
    },
    findByAltSecurityIdentities: (values) => {
      asked.push(...values);
      return Promise.resolve(undefined);
    },
  };
  return new CertificateMapper({ oneToOne: [], manyToOne: [], directory: mapping }, directory);
}
