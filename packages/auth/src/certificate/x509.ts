import { createHash } from "node:crypto";
import { AppError, toHex } from "@ckmesh/core";
import { DER_TAG, type DerElement } from "../der/der.js";
import { DerReader, decodeOid, parseDer } from "../der/der-reader.js";
import { type DistinguishedName, decodeText, readName } from "./distinguished-name.js";

/** What accounts are found by. Nothing here says that the certificate is genuine: TLS has checked that. */
export interface CertificateFacts {
  /** SHA-256 of the whole certificate, lower-case hex. */
  readonly sha256: string;
  /** SHA-1 of the whole certificate (what Windows calls thumbprint), lower-case hex. */
  readonly sha1: string;
  readonly issuer: DistinguishedName;
  readonly subject: DistinguishedName;
  /** Content octets of the INTEGER, most significant first. */
  readonly serial: Uint8Array;
  /** Extension 2.5.29.14, lower-case hex. */
  readonly subjectKeyId: string | undefined;
  /** SHA-1 of the bits of the public key (RFC 5280 §4.2.1.2 method 1), lower-case hex. */
  readonly publicKeySha1: string;
  /** User principal names of the subject alternative name, in order. */
  readonly upns: readonly string[];
  /** Mail addresses of the subject alternative name, in order. */
  readonly emails: readonly string[];
  /** Unix ms after which the certificate counts no more. */
  readonly notAfter: number;
}

/** Larger ones are made to cost time; the largest in use have some 10 KB. */
const MAX_CERTIFICATE_BYTES = 65_536;
const MAX_EXTENSIONS = 64;
/** Names of one subject alternative name. Certificates of web servers have hundreds, of users a few. */
const MAX_ALTERNATIVE_NAMES = 1024;

const OID_SUBJECT_KEY_ID = "2.5.29.14"; // RFC 5280 §4.2.1.2
const OID_SUBJECT_ALT_NAME = "2.5.29.17"; // RFC 5280 §4.2.1.6
const OID_UPN = "1.3.6.1.4.1.311.20.2.3"; // szOID_NT_PRINCIPAL_NAME, [MS-WCCE] §2.2.2.7.7.2
/** Context tags of TBSCertificate (RFC 5280 §4.1). */
const TAG_VERSION = 0xa0;
const TAG_ISSUER_UNIQUE_ID = 0x81;
const TAG_SUBJECT_UNIQUE_ID = 0x82;
const TAG_EXTENSIONS = 0xa3;
/** Context tags of GeneralName (RFC 5280 §4.2.1.6) and of the value within otherName. */
const TAG_OTHER_NAME = 0xa0;
const TAG_RFC822_NAME = 0x81;
const TAG_OTHER_NAME_VALUE = 0xa0;

/**
 * Reads a certificate (RFC 5280 §4.1) as far as accounts are found by it.
 * @throws {AppError} ERR_REQUEST_INVALID when it is none
 */
export function readCertificate(der: Uint8Array): CertificateFacts {
  if (der.byteLength > MAX_CERTIFICATE_BYTES) {
    throw new AppError("ERR_REQUEST_INVALID", `a certificate of more than ${MAX_CERTIFICATE_BYTES} bytes`);
  }
  const outer = new DerReader(parseDer(der, DER_TAG.sequence).content, 3);
  const tbs = new DerReader(outer.next(DER_TAG.sequence).content, 10);
  outer.next(DER_TAG.sequence);
  outer.next(DER_TAG.bitString);
  outer.end();

  tbs.optional(TAG_VERSION);
  const serial = tbs.next(DER_TAG.integer).content;
  tbs.next(DER_TAG.sequence); // Signature algorithm.
  const issuer = readName(tbs.next(DER_TAG.sequence));
  const notAfter = readNotAfter(tbs.next(DER_TAG.sequence));
  const subject = readName(tbs.next(DER_TAG.sequence));
  const publicKeySha1 = hashPublicKey(tbs.next(DER_TAG.sequence));
  tbs.optional(TAG_ISSUER_UNIQUE_ID);
  tbs.optional(TAG_SUBJECT_UNIQUE_ID);
  const extensions = readExtensions(tbs.optional(TAG_EXTENSIONS));
  tbs.end();

  const keyId = extensions.get(OID_SUBJECT_KEY_ID);
  return {
    sha256: createHash("sha256").update(der).digest("hex"),
    sha1: createHash("sha1").update(der).digest("hex"),
    issuer,
    subject,
    serial,
    subjectKeyId: keyId === undefined ? undefined : toHex(parseDer(keyId, DER_TAG.octetString).content),
    publicKeySha1,
    ...readAlternativeNames(extensions.get(OID_SUBJECT_ALT_NAME)),
    notAfter,
  };
}

function hashPublicKey(info: DerElement): string {
  const reader = new DerReader(info.content, 2);
  reader.next(DER_TAG.sequence); // Algorithm.
  const bits = reader.next(DER_TAG.bitString).content;
  reader.end();
  // The first octet counts the unused bits of the last one; keys have none.
  return createHash("sha1").update(bits.subarray(1)).digest("hex");
}

/** Values of the extensions by OID. One that stands there twice is refused: nobody could say which counts. */
function readExtensions(wrapper: DerElement | undefined): ReadonlyMap<string, Uint8Array> {
  const values = new Map<string, Uint8Array>();
  if (wrapper === undefined) return values;
  const list = new DerReader(parseDer(wrapper.content, DER_TAG.sequence).content, MAX_EXTENSIONS);
  while (!list.isAtEnd) {
    const extension = new DerReader(list.next(DER_TAG.sequence).content, 3);
    const oid = decodeOid(extension.next(DER_TAG.oid).content);
    extension.optional(DER_TAG.boolean); // Critical or not: TLS has judged it.
    const value = extension.next(DER_TAG.octetString).content;
    extension.end();
    if (values.has(oid)) throw new AppError("ERR_REQUEST_INVALID", `extension ${oid} stands there twice`);
    values.set(oid, value);
  }
  return values;
}

function readAlternativeNames(value: Uint8Array | undefined): Pick<CertificateFacts, "upns" | "emails"> {
  const upns: string[] = [];
  const emails: string[] = [];
  if (value === undefined) return { upns, emails };
  const names = new DerReader(parseDer(value, DER_TAG.sequence).content, MAX_ALTERNATIVE_NAMES);
  while (!names.isAtEnd) {
    const { tag, content } = names.next();
    if (tag === TAG_RFC822_NAME) {
      emails.push(decodeText({ tag: DER_TAG.ia5String, content, raw: content }));
    } else if (tag === TAG_OTHER_NAME) {
      const other = new DerReader(content, 2);
      const oid = decodeOid(other.next(DER_TAG.oid).content);
      const wrapped = other.next(TAG_OTHER_NAME_VALUE);
      other.end();
      if (oid === OID_UPN) upns.push(decodeText(parseDer(wrapped.content, DER_TAG.utf8String)));
    }
  }
  return { upns, emails };
}

function readNotAfter(validity: DerElement): number {
  const reader = new DerReader(validity.content, 2);
  reader.next();
  const time = readTime(reader.next());
  reader.end();
  return time;
}

/**
 * Unix ms of a UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 has them: to the second, in UTC.
 * @throws {AppError} ERR_REQUEST_INVALID
 */
export function readTime({ tag, content }: DerElement): number {
  const text = Buffer.from(content).toString("latin1");
  // Two-digit years from 50 on lie in the twentieth century.
  const full =
    tag === DER_TAG.utcTime
      ? `${text < "50" ? "20" : "19"}${text}`
      : tag === DER_TAG.generalizedTime
        ? text
        : "";
  const m = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(full);
  if (m === null) throw new AppError("ERR_REQUEST_INVALID", "a time that is not written as in RFC 5280");
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0] = m.slice(1).map(Number);
  return Date.UTC(year, month - 1, day, hour, minute, second);
}
