import { X509Certificate } from "node:crypto";
import { AppError, fromHex, isAppError } from "@ckmesh/core";
import type { Identity } from "../identity.js";
import type { Directory } from "../judges.js";
import { altSecurityIdentities } from "./alt-security-identities.js";
import type { CertificateVerdict } from "./certificate-verdict.js";
import { type ManyToOneMapping, ManyToOneRules } from "./many-to-one.js";
import { type CertificateFacts, readCertificate } from "./x509.js";

/** IIS's one-to-one mapping; there the whole certificate is stored, here its SHA-256. */
export interface OneToOneMapping {
  /** Of the DER certificate, hex, colons allowed. */
  readonly sha256: string;
  readonly account: string;
}

/** Which certificates the directory may be asked about. */
export interface DirectoryMapping {
  /**
   * The CAs whose word counts for names in the directory, as Windows' NTAuth store lists them: a certificate counts
   * if one of these signed it itself. Being trusted by TLS is not enough.
   */
  readonly issuers: readonly X509Certificate[];
  /** Takes the user principal name of the certificate, if it ends with `@` and one of `suffixes`. */
  readonly upn: boolean;
  readonly suffixes: readonly string[];
  /** Asks the directory for `altSecurityIdentities`. */
  readonly altSecurityIdentities: boolean;
  /** Also by names alone (`<S>`, `<I><S>`, `<RFC822>`), which a CA may give to two people. */
  readonly weakForms: boolean;
}

export interface CertificateMappings {
  readonly oneToOne: readonly OneToOneMapping[];
  readonly manyToOne: readonly ManyToOneMapping[];
  readonly directory?: DirectoryMapping;
}

/** Finds the account of a certificate that TLS found genuine: one-to-one, then many-to-one, then the directory. */
export class CertificateMapper {
  readonly #oneToOne: ReadonlyMap<string, string>;
  readonly #manyToOne: ManyToOneRules;
  readonly #directoryMapping: DirectoryMapping | undefined;
  readonly #directory: Directory | undefined;

  /**
   * @param directory needed where `mappings.directory` is given
   * @throws {AppError} ERR_CONFIG_INVALID
   */
  constructor(mappings: CertificateMappings, directory?: Directory) {
    if (mappings.directory !== undefined && directory === undefined) {
      throw new AppError("ERR_CONFIG_INVALID", "directoryMapping needs authentication.directory");
    }
    this.#oneToOne = new Map(
      mappings.oneToOne.map(({ sha256, account }) => [parseFingerprint(sha256), account]),
    );
    if (this.#oneToOne.size !== mappings.oneToOne.length) {
      throw new AppError("ERR_CONFIG_INVALID", "oneToOneMappings name the same certificate twice");
    }
    this.#manyToOne = new ManyToOneRules(mappings.manyToOne);
    this.#directoryMapping = mappings.directory;
    this.#directory = directory;
  }

  /**
   * @param der a certificate that TLS verified against the trusted CAs and their revocation lists
   * @throws {AppError} ERR_AUTH_UNAVAILABLE when the directory does not answer
   */
  async map(der: Uint8Array): Promise<CertificateVerdict> {
    let certificate: CertificateFacts;
    try {
      certificate = readCertificate(der);
    } catch (err) {
      if (isAppError(err, "ERR_REQUEST_INVALID")) return { type: "bad", fault: "malformed" };
      throw err;
    }
    const account = this.#oneToOne.get(certificate.sha256);
    if (account !== undefined) return { type: "mapped", identity: identityOf(account) };
    const rule = this.#manyToOne.find(certificate);
    if (rule !== undefined) {
      return rule.permission === "deny"
        ? { type: "bad", fault: "denied" }
        : { type: "mapped", identity: identityOf(rule.account) };
    }
    const identity = await this.#lookUp(certificate, der);
    return identity === undefined ? { type: "unmapped" } : { type: "mapped", identity };
  }

  async #lookUp(certificate: CertificateFacts, der: Uint8Array): Promise<Identity | undefined> {
    const [mapping, directory] = [this.#directoryMapping, this.#directory];
    if (mapping === undefined || directory === undefined || !isIssuedByOne(der, mapping.issuers))
      return undefined;
    if (mapping.altSecurityIdentities) {
      const values = altSecurityIdentities(certificate, mapping.weakForms);
      const identity = await directory.findByAltSecurityIdentities(values);
      if (identity !== undefined) return identity;
    }
    // Of several names nobody could say which one counts.
    const [upn, second] = certificate.upns;
    if (!mapping.upn || upn === undefined || second !== undefined || !hasSuffix(upn, mapping.suffixes)) {
      return undefined;
    }
    return directory.findByUpn(upn);
  }
}

/** By signature, not by name: anybody may give a CA of their own another one's name. */
function isIssuedByOne(der: Uint8Array, issuers: readonly X509Certificate[]): boolean {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
  } catch {
    return false; // OpenSSL is stricter than our reader; what it does not take nobody has signed.
  }
  return issuers.some((issuer) => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey));
}

function hasSuffix(upn: string, suffixes: readonly string[]): boolean {
  const suffix = upn.slice(upn.lastIndexOf("@") + 1).toLowerCase();
  return upn.includes("@") && suffixes.some((allowed) => allowed.toLowerCase() === suffix);
}

/** Accounts in mappings: `alice`, or `MEDV\alice` for one of the directory. */
function identityOf(name: string): Identity {
  const backslash = name.indexOf("\\");
  if (backslash < 0) return { name, account: name };
  return { name, account: name.slice(backslash + 1), domain: name.slice(0, backslash) };
}

function parseFingerprint(text: string): string {
  const hex = text.replaceAll(":", "").toLowerCase();
  if (fromHex(hex, 32) === undefined) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `${JSON.stringify(text)} is no SHA-256 of a certificate: 64 hexadecimal digits (openssl x509 -noout -fingerprint -sha256)`,
    );
  }
  return hex;
}
