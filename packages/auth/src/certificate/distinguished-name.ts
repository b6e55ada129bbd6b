import { AppError } from "@ckmesh/core";
import { DER_TAG, type DerElement } from "../der/der.js";
import { DerReader, decodeOid } from "../der/der-reader.js";

/** One attribute of a name, such as CN=alice. */
interface NameAttribute {
  /** Dotted. */
  readonly oid: string;
  readonly value: string;
}

/** A relative name: usually one attribute, sometimes several that belong together. */
type RelativeName = readonly NameAttribute[];

/** Relative names in the order of the certificate, most general first as most CAs write them. */
export type DistinguishedName = readonly RelativeName[];

/** Names that go on for longer are made to cost time; real ones have up to a dozen parts. */
const MAX_RELATIVE_NAMES = 64;
/** RFC 5280 appendix A: no attribute of a name is longer than 32,768; none that we map by comes near. */
const MAX_VALUE_BYTES = 4096;

/**
 * How Windows writes the attributes of a name (CertNameToStr with CERT_X500_NAME_STR), which is how they stand in
 * altSecurityIdentities; IIS's mapping rules use the same letters.
 */
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  ["2.5.4.3", "CN"],
  ["2.5.4.4", "SN"],
  ["2.5.4.5", "SERIALNUMBER"],
  ["2.5.4.6", "C"],
  ["2.5.4.7", "L"],
  ["2.5.4.8", "S"],
  ["2.5.4.9", "STREET"],
  ["2.5.4.10", "O"],
  ["2.5.4.11", "OU"],
  ["2.5.4.12", "T"],
  ["2.5.4.42", "G"],
  ["2.5.4.43", "I"],
  ["0.9.2342.19200300.100.1.25", "DC"],
  ["1.2.840.113549.1.9.1", "E"],
]);

/** Other spellings that people write in rules. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ["ST", "S"],
  ["SP", "S"],
  ["EMAIL", "E"],
  ["EMAILADDRESS", "E"],
  ["GN", "G"],
]);

const OID_BY_NAME = new Map([...SHORT_NAMES].map(([oid, name]) => [name, oid]));

/**
 * The OID of what a rule calls an attribute: `CN`, `ou`, `ST`, `2.5.4.3`.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function attributeOid(name: string): string {
  const upper = name.toUpperCase();
  const oid = OID_BY_NAME.get(ALIASES.get(upper) ?? upper) ?? (/^\d+(\.\d+)+$/.test(name) ? name : undefined);
  if (oid === undefined) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `${JSON.stringify(name)} is no part of a name; known: ${[...OID_BY_NAME.keys()].join(", ")}, or an OID`,
    );
  }
  return oid;
}

/**
 * Reads a Name (RFC 5280 §4.1.2.4).
 * @throws {AppError} ERR_REQUEST_INVALID
 */
export function readName(name: DerElement): DistinguishedName {
  return new DerReader(name.content, MAX_RELATIVE_NAMES)
    .rest()
    .map((set) => new DerReader(set.content).rest().map((attribute) => readAttribute(attribute)));
}

/**
 * A name as it stands in altSecurityIdentities: in the order of the certificate, `,` without a space between
 * parts, values with special characters in quotes.
 */
export function formatName(name: DistinguishedName): string {
  return name
    .map((relative) =>
      relative
        .map(({ oid, value }) => `${SHORT_NAMES.get(oid) ?? `OID.${oid}`}=${quoted(value)}`)
        .join(" + "),
    )
    .join(",");
}

function readAttribute(attribute: DerElement): NameAttribute {
  const reader = new DerReader(attribute.content, 2);
  const oid = decodeOid(reader.next(DER_TAG.oid).content);
  const value = decodeText(reader.next());
  reader.end();
  return { oid, value };
}

/**
 * The text of a DirectoryString (RFC 5280 §4.1.2.4). Kinds that are no text become "", which no rule names.
 * @throws {AppError} ERR_REQUEST_INVALID when it is not well-formed
 */
export function decodeText({ tag, content }: DerElement): string {
  if (content.byteLength > MAX_VALUE_BYTES) {
    throw new AppError("ERR_REQUEST_INVALID", `a text of more than ${MAX_VALUE_BYTES} bytes`);
  }
  switch (tag) {
    case DER_TAG.utf8String:
      return decodeUtf8(content);
    case DER_TAG.printableString:
    case DER_TAG.ia5String:
    case DER_TAG.numericString:
    case DER_TAG.teletexString:
      return Buffer.from(content).toString("latin1");
    case DER_TAG.bmpString:
      if (content.byteLength % 2 !== 0) throw new AppError("ERR_REQUEST_INVALID", "half a character");
      return Buffer.from(content).swap16().toString("utf16le");
    default:
      return "";
  }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return UTF8.decode(bytes);
  } catch (cause) {
    throw new AppError("ERR_REQUEST_INVALID", "a text that is not UTF-8", { cause });
  }
}

/** Windows' quoting (CertNameToStr): what has a meaning in a name, or blanks at an end, stands in quotes. */
function quoted(value: string): string {
  return /[,+="\n<>#;]|^\s|\s$/.test(value) || value === "" ? `"${value.replaceAll('"', '""')}"` : value;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
