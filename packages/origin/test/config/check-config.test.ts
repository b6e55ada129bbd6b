import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { originConfigDefaults, originConfigSchema } from "@ckmesh/origin";
import { loadConfig, printConfig } from "@ckmesh/runtime";
import { describe, expect, it } from "vitest";
import { checkOriginConfig } from "../../src/config/check-config.js";
import { planReload } from "../../src/config/reload-plan.js";
import { temporaryFolder } from "../origin-fixture.js";

function load(flags: Readonly<Record<string, unknown>>) {
  return loadConfig({
    schema: originConfigSchema,
    defaults: originConfigDefaults,
    envPrefix: "CKMESH_",
    env: {},
    unknownKeys: "error",
    flags: { "virtualDirectory.physicalPath": "images", ...flags },
  });
}

const check = (flags: Readonly<Record<string, unknown>>): void => checkOriginConfig(load(flags).config);

const TLS = { tlsListen: "127.0.0.1:0", tlsCert: "c.pem", tlsKey: "k.pem" };
const WINDOWS = { "authentication.windows.enabled": true, "authentication.accountsFile": "a.yaml" };
const KERBEROS = (keytab: string) => ({
  ...WINDOWS,
  "authentication.windows.netbiosDomain": "MEDV",
  "authentication.windows.kerberos": { keytab, realms: ["MEDV.TEST"] },
});
const DIRECTORY = {
  url: "ldaps://dc1.medv.test",
  bindDn: "CN=reader",
  bindPasswordFile: "pw",
  baseDn: "DC=medv,DC=test",
  netbiosDomain: "MEDV",
};

describe("a configuration", () => {
  it("of before Windows authentication is valid as it is", () => {
    expect(() => check({ "authentication.accountsFile": "a.yaml" })).not.toThrow();
    const open = { "authentication.anonymous.enabled": true, listen: "0.0.0.0:80", ...TLS };
    expect(() => check(open)).not.toThrow();
  });

  it("with everything in its place is valid", () => {
    const keytab = join(temporaryFolder(), "http.keytab");
    writeFileSync(keytab, "");
    const all = {
      ...TLS,
      ...KERBEROS(keytab),
      certListen: "127.0.0.1:0",
      "authentication.windows.extendedProtection.tokenChecking": "Require",
      "authentication.logon.domain": "winbind",
      "authentication.directory": DIRECTORY,
      "authentication.clientCertificates": {
        ca: "ca.pem",
        directoryMapping: {
          issuers: "ca.pem",
          upn: true,
          suffixes: ["medv.test"],
          altSecurityIdentities: true,
        },
      },
    };
    expect(() => check(all)).not.toThrow();
  });

  it.each<[string, Readonly<Record<string, unknown>>, string]>([
    [
      "tlsListen without a certificate",
      { tlsListen: "127.0.0.1:0" },
      "tlsListen (--tls-listen) needs tlsCert",
    ],
    [
      "certListen without a certificate",
      { certListen: "127.0.0.1:0" },
      "certListen (--cert-listen) needs tlsCert",
    ],
    [
      "certListen without CAs",
      { certListen: "127.0.0.1:0", tlsCert: "c", tlsKey: "k" },
      "authentication.clientCertificates.ca",
    ],
    ["Windows without accounts", { "authentication.windows.enabled": true }, "needs accounts"],
    [
      "the same provider twice",
      { ...WINDOWS, "authentication.windows.providers": ["NTLM", "NTLM"] },
      "names NTLM twice",
    ],
    ["a keytab that is missing", KERBEROS("/does/not/exist"), "kerberos.keytab: cannot read /does/not/exist"],
    [
      "Kerberos without Negotiate",
      { ...KERBEROS(import.meta.filename), "authentication.windows.providers": ["NTLM"] },
      "needs Negotiate",
    ],
    [
      "Kerberos without the domain's name",
      { ...KERBEROS(import.meta.filename), "authentication.windows.netbiosDomain": undefined },
      "netbiosDomain is missing",
    ],
    [
      "winbind without the domain's name",
      { "authentication.logon.domain": "winbind" },
      "netbiosDomain is missing",
    ],
    [
      "Require on a plain listener",
      { ...WINDOWS, "authentication.windows.extendedProtection.tokenChecking": "Require" },
      "there is a plain listener",
    ],
    ["LDAP without a directory", { "authentication.logon.domain": "ldap" }, "needs authentication.directory"],
    [
      "two names of one domain",
      { "authentication.directory": DIRECTORY, "authentication.windows.netbiosDomain": "OTHER" },
      "they name one domain",
    ],
    [
      "directory mapping without a directory",
      {
        "authentication.clientCertificates": {
          ca: "ca.pem",
          directoryMapping: { issuers: "ca.pem", upn: true, suffixes: [], altSecurityIdentities: false },
        },
      },
      "directoryMapping needs authentication.directory",
    ],
    [
      "a rule that permits nobody",
      {
        "authentication.clientCertificates.ca": "ca.pem",
        "authentication.clientCertificates.manyToOneMappings": [
          { name: "all", permission: "permit", rules: [{ field: "subject", sub: "O", match: "*" }] },
        ],
      },
      "(all) permits, but names no account",
    ],
  ])("with %s is refused, and told what is missing", (_, flags, message) => {
    expect(() => check(flags)).toThrow(
      expect.objectContaining({ code: "ERR_CONFIG_INVALID", message: expect.stringContaining(message) }),
    );
  });

  it.each([
    { "authentication.windows.providers": ["Kerberos"] },
    { "authentication.windows.extendedProtection.tokenChecking": "require" },
    { "authentication.directory": { ...DIRECTORY, url: "http://dc1" } },
    { "authentication.clientCertificates": { crl: [] } },
    { "authentication.windows.netbiosDomain": "MEDV\\x" },
  ])("of the wrong form is refused: %j", (flags) => {
    expect(() => load(flags)).toThrow(expect.objectContaining({ code: "ERR_CONFIG_INVALID" }));
  });

  it("prints with IIS's names", () => {
    const loaded = load(WINDOWS);
    const text = printConfig(loaded, originConfigSchema);
    expect(text).toContain("      tokenChecking: Allow  # default");
    expect(text).toContain("    authPersistNonNTLM: true  # default");
  });
});

describe("planReload", () => {
  it("tells what counts now from what needs a restart", () => {
    const before = load({ sites: { oslo: ["10.0.0.0/8"] }, listen: "127.0.0.1:1" }).config;
    const after = load({
      sites: { oslo: ["10.0.0.0/8"], bergen: ["11.0.0.0/8"] },
      listen: "127.0.0.1:2",
      ...WINDOWS,
      "rights.change": ["alice"],
      publishers: ["ab".repeat(32)],
    }).config;
    expect(planReload(before, before)).toEqual({ changed: [], restart: [] });
    const plan = planReload(before, after);
    expect(plan.changed.toSorted()).toEqual([
      "authentication.accountsFile",
      "authentication.windows.enabled",
      "publishers",
      "rights.change",
      "sites",
    ]);
    expect(plan.restart).toEqual(["listen"]);
  });
});
