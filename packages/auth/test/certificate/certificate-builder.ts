import { oid, tlv } from "../der/der-builder.js";

const OID_UPN = "1.3.6.1.4.1.311.20.2.3";

export interface BuiltCertificate {
  readonly subject?: Buffer;
  readonly extensions?: readonly Buffer[];
}

/** A certificate that nobody signed, for what openssl would not write. */
export function buildCertificate({ subject = name(), extensions = [] }: BuiltCertificate = {}): Buffer {
  const algorithm = tlv(0x30, [oid("1.2.840.10045.4.3.2")]);
  const key = tlv(0x30, [tlv(0x30, [oid("1.2.840.10045.2.1")]), tlv(0x03, [0, 4, 1, 2])]);
  const version = tlv(0xa0, [tlv(0x02, [2])]);
  const serial = tlv(0x02, [0x00, 0xc0, 0xff, 0xee]);
  const validity = tlv(0x30, [time("260101000000Z"), time("360101000000Z")]);
  const optional = extensions.length === 0 ? [] : [tlv(0xa3, [tlv(0x30, extensions)])];
  const tbs = tlv(0x30, [version, serial, algorithm, name("issuer"), validity, subject, key, ...optional]);
  return tlv(0x30, [tbs, algorithm, tlv(0x03, [0, 1])]);
}

/** One part, CN. */
export function name(text: string | Buffer = "somebody", tag: number = 0x0c): Buffer {
  return tlv(0x30, [tlv(0x31, [tlv(0x30, [oid("2.5.4.3"), tlv(tag, Buffer.from(text))])])]);
}

export function altNames(...names: readonly Buffer[]): Buffer {
  return tlv(0x30, [oid("2.5.29.17"), tlv(0x04, tlv(0x30, names))]);
}

export function upn(text: string): Buffer {
  return tlv(0xa0, [oid(OID_UPN), tlv(0xa0, [tlv(0x0c, Buffer.from(text))])]);
}

function time(text: string): Buffer {
  return tlv(0x17, Buffer.from(text));
}
