import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isAppError, randomInt, seededRandom } from "@ckmesh/core";
import { hasTool, TestCa } from "@ckmesh/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { altSecurityIdentities } from "../../src/certificate/alt-security-identities.js";
import { formatName } from "../../src/certificate/distinguished-name.js";
import { readRevocationList } from "../../src/certificate/revocation-list.js";
import { readCertificate } from "../../src/certificate/x509.js";
import { tlv } from "../der/der-builder.js";
import { altNames, buildCertificate, name, upn } from "./certificate-builder.js";

const refused = expect.objectContaining({ code: "ERR_REQUEST_INVALID" });
const hasOpenssl = hasTool("openssl", ["version"], "reading of certificates");
const MUTATIONS = 10_000;

describe.skipIf(!hasOpenssl)("a certificate made by openssl", () => {
  let folder: string;
  let ca: TestCa;
  let der: Buffer;
  const notAfter = Math.floor(Date.now() / 1000) * 1000 + 3_600_000;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "ckmesh-x509-"));
    ca = TestCa.createRoot(join(folder, "root"), "/DC=test/DC=medv/CN=MEDV, Issuing CA");
    const { cert } = ca.issue({
      subject: "/C=DE/O=Contoso/OU=Köln+CN=alice/emailAddress=alice@contoso.test",
      altName: "email:alice@contoso.test,DNS:pc1,otherName:msUPN;UTF8:alice@medv.test",
      serial: "00C0FFEE",
      notAfter,
    });
    ({ raw: der } = new X509Certificate(cert));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("is read as Node reads it", () => {
    const node = new X509Certificate(der);
    const facts = readCertificate(der);
    expect(facts.sha256).toBe(node.fingerprint256.replaceAll(":", "").toLowerCase());
    expect(facts.sha1).toBe(node.fingerprint.replaceAll(":", "").toLowerCase());
    // openssl makes the key identifier of the key's bits (RFC 5280 §4.2.1.2 method 1).
    expect(facts.subjectKeyId).toBe(facts.publicKeySha1);
    expect(facts.notAfter).toBe(notAfter);
    expect(facts.upns).toEqual(["alice@medv.test"]);
    expect(facts.emails).toEqual(["alice@contoso.test"]);
    expect(formatName(facts.subject)).toBe("C=DE,O=Contoso,CN=alice + OU=Köln,E=alice@contoso.test");
    expect(formatName(facts.issuer)).toBe('DC=test,DC=medv,CN="MEDV, Issuing CA"');
  });

  it("has the values of altSecurityIdentities: strong ones, and weak ones when asked for", () => {
    const facts = readCertificate(der);
    const strong = [
      'X509:<I>DC=test,DC=medv,CN="MEDV, Issuing CA"<SR>eeffc0',
      `X509:<SKI>${facts.subjectKeyId}`,
      `X509:<SHA1-PUKEY>${facts.publicKeySha1}`,
      `X509:<SHA1-PUKEY>${facts.sha1}`,
    ];
    expect(altSecurityIdentities(facts, false)).toEqual(strong);
    expect(altSecurityIdentities(facts, true)).toEqual([
      ...strong,
      `X509:<I>${formatName(facts.issuer)}<S>${formatName(facts.subject)}`,
      `X509:<S>${formatName(facts.subject)}`,
      "X509:<RFC822>alice@contoso.test",
    ]);
  });

  it("is refused when it is cut off at any byte, or followed by one", () => {
    for (let length = 0; length < der.length; length += 1) {
      expect(() => readCertificate(der.subarray(0, length))).toThrow(refused);
    }
    expect(() => readCertificate(Buffer.concat([der, Buffer.from([0])]))).toThrow(refused);
  });

  it(`throws nothing but ERR_REQUEST_INVALID in ${MUTATIONS} mutations`, () => {
    const random = seededRandom(20_260_101);
    let readable = 0;
    for (let i = 0; i < MUTATIONS; i += 1) {
      const mutant = Buffer.from(der);
      for (let n = randomInt(random, 4); n >= 0; n -= 1) {
        mutant[randomInt(random, mutant.length)] = randomInt(random, 256);
      }
      try {
        const facts = readCertificate(mutant);
        altSecurityIdentities(facts, true);
        readable += 1;
      } catch (err) {
        if (!isAppError(err, "ERR_REQUEST_INVALID")) throw err;
      }
    }
    // Changes of text, keys and signature leave it readable.
    expect(readable).toBeGreaterThan(MUTATIONS / 10);
    expect(readable).toBeLessThan(MUTATIONS);
  });

  it("has a revocation list whose issuer and next update can be told", () => {
    const nextUpdate = notAfter + 60_000;
    const list = Buffer.from(ca.revocationList(nextUpdate).replaceAll(/-----[A-Z0-9 ]+-----/g, ""), "base64");
    expect(readRevocationList(list)).toEqual({ issuer: 'DC=test,DC=medv,CN="MEDV, Issuing CA"', nextUpdate });
    for (let length = 0; length < list.length; length += 1) {
      expect(() => readRevocationList(list.subarray(0, length))).toThrow(refused);
    }
  });
});

describe("a certificate made to deceive", () => {
  it("has no principal name because its subject or another extension holds the bytes of one", () => {
    const bytes = upn("admin@medv.test");
    // Texts of one octet per character may hold any octets.
    const inSubject = buildCertificate({ subject: name(bytes, 0x14) });
    const inDnsName = buildCertificate({ extensions: [altNames(tlv(0x82, bytes))] });
    const inKeyId = buildCertificate({
      extensions: [tlv(0x30, [tlv(0x06, [0x55, 0x1d, 0x0e]), tlv(0x04, tlv(0x04, altNames(bytes)))])],
    });
    expect([inSubject, inDnsName, inKeyId].map((der) => readCertificate(der).upns)).toEqual([[], [], []]);
    expect(readCertificate(buildCertificate({ extensions: [altNames(bytes)] })).upns).toEqual([
      "admin@medv.test",
    ]);
  });

  it("is refused with two subject alternative names, or a principal name that is no text", () => {
    const names = altNames(upn("a@medv.test"));
    expect(() => readCertificate(buildCertificate({ extensions: [names, names] }))).toThrow(refused);
    const broken = altNames(
      tlv(0xa0, [
        tlv(0x06, Buffer.from("2b060104018237140203", "hex")),
        tlv(0xa0, [tlv(0x0c, Buffer.from([0xff, 0xfe]))]),
      ]),
    );
    expect(() => readCertificate(buildCertificate({ extensions: [broken] }))).toThrow(refused);
  });

  it("may have 1024 alternative names, not 1025, and 64 KiB", () => {
    expect(readCertificate(many(1024)).upns).toEqual([]);
    expect(() => readCertificate(many(1025))).toThrow(refused);
    expect(() => readCertificate(many(20_000))).toThrow(refused);
    expect(() => readCertificate(many(30_000))).toThrow(refused);
  });

  it("may have 64 extensions and a name of 64 parts, not 65", () => {
    const part = name().subarray(2);
    const parts = (n: number) =>
      tlv(
        0x30,
        Array.from({ length: n }, () => part),
      );
    expect(readCertificate(buildCertificate({ extensions: extensions(64) })).upns).toEqual([]);
    expect(readCertificate(buildCertificate({ subject: parts(64) })).subject).toHaveLength(64);
    expect(() => readCertificate(buildCertificate({ extensions: extensions(65) }))).toThrow(refused);
    expect(() => readCertificate(buildCertificate({ subject: parts(65) }))).toThrow(refused);
  });
});

function many(n: number): Buffer {
  return buildCertificate({ extensions: [altNames(...Array.from({ length: n }, () => tlv(0x82, [0x61])))] });
}

function extensions(n: number): readonly Buffer[] {
  return Array.from({ length: n }, (_, i) => tlv(0x30, [tlv(0x06, [0x2a, i]), tlv(0x04, [])]));
}
