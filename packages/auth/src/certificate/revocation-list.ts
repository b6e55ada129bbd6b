import { DER_TAG } from "../der/der.js";
import { DerReader, parseDer } from "../der/der-reader.js";
import { formatName, readName } from "./distinguished-name.js";
import { readTime } from "./x509.js";

/** What an administrator wants to know of a revocation list; whom it revokes is TLS's business. */
export interface RevocationListFacts {
  /** Of the CA. */
  readonly issuer: string;
  /** Unix ms from which on the list counts no more; undefined = for ever. */
  readonly nextUpdate: number | undefined;
}

const TIME_TAGS: ReadonlySet<number> = new Set([DER_TAG.utcTime, DER_TAG.generalizedTime]);
/** Fields of TBSCertList (RFC 5280 §5.1). */
const MAX_FIELDS = 7;

/**
 * Reads the head of a CRL (RFC 5280 §5.1), at most 16 MiB.
 * @throws {AppError} ERR_REQUEST_INVALID when it is none
 */
export function readRevocationList(der: Uint8Array): RevocationListFacts {
  const outer = new DerReader(parseDer(der, DER_TAG.sequence).content, 3);
  const tbs = new DerReader(outer.next(DER_TAG.sequence).content, MAX_FIELDS);
  tbs.optional(DER_TAG.integer); // Version.
  tbs.next(DER_TAG.sequence); // Signature algorithm.
  const issuer = formatName(readName(tbs.next(DER_TAG.sequence)));
  readTime(tbs.next()); // thisUpdate
  const hasNext = tbs.nextTag !== undefined && TIME_TAGS.has(tbs.nextTag);
  return { issuer, nextUpdate: hasNext ? readTime(tbs.next()) : undefined };
}
