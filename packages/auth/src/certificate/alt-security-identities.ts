import { toHex } from "@ckmesh/core";
import { formatName } from "./distinguished-name.js";
import type { CertificateFacts } from "./x509.js";

/** A certificate names its holder in at most this many ways: what is asked of a directory stays small. */
const MAX_VALUES = 16;

/**
 * The values of `altSecurityIdentities` under which a directory may hold this certificate.
 *
 * Strong ones, each of which only one certificate or key can have: issuer and serial number (its octets reversed),
 * key identifier, SHA-1. Windows' documents call the last one a hash of the public key, tools write the hash of the
 * certificate there: both are asked for. Weak ones (names, which a CA may give to several) only by switch.
 */
export function altSecurityIdentities(certificate: CertificateFacts, weakForms: boolean): readonly string[] {
  const issuer = formatName(certificate.issuer);
  const strong = [
    `X509:<I>${issuer}<SR>${toHex(minimal(certificate.serial).toReversed())}`,
    ...(certificate.subjectKeyId === undefined ? [] : [`X509:<SKI>${certificate.subjectKeyId}`]),
    `X509:<SHA1-PUKEY>${certificate.publicKeySha1}`,
    `X509:<SHA1-PUKEY>${certificate.sha1}`,
  ];
  if (!weakForms) return strong;
  const subject = formatName(certificate.subject);
  return [
    ...strong,
    ...(subject === "" ? [] : [`X509:<I>${issuer}<S>${subject}`, `X509:<S>${subject}`]),
    ...certificate.emails.map((email) => `X509:<RFC822>${email}`),
  ].slice(0, MAX_VALUES);
}

/** Without the zero octet that keeps an INTEGER positive: Windows removes it (CERT_INFO, SerialNumber). */
function minimal(serial: Uint8Array): Uint8Array {
  const first = serial.findIndex((octet) => octet !== 0);
  return first < 0 ? serial.subarray(0, 1) : serial.subarray(first);
}
