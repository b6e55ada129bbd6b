import { AppError } from "@ckmesh/core";
import { attributeOid, type DistinguishedName } from "./distinguished-name.js";
import { matchesWildcard } from "./wildcard.js";
import type { CertificateFacts } from "./x509.js";

/** One condition of a rule, in IIS's words. */
export interface CertificateCondition {
  readonly field: "issuer" | "subject";
  /** Which part of the name: `CN`, `O`, `OU`, `L`, `S`, `C`, `E`, …, or an OID. */
  readonly sub: string;
  /** `*` stands for any text. */
  readonly match: string;
  readonly caseSensitive: boolean;
}

/** A rule of IIS's many-to-one mappings: holds where all of its conditions hold. */
export interface ManyToOneMapping {
  /** For the log. */
  readonly name: string;
  readonly permission: "permit" | "deny";
  /** Whom a permitted certificate stands for. */
  readonly account: string;
  readonly rules: readonly CertificateCondition[];
}

/** Patterns beyond this are a mistake. */
const MAX_PATTERN_LENGTH = 1024;

/** Finds the first rule that holds for a certificate. */
export class ManyToOneRules {
  readonly #rules: readonly {
    readonly mapping: ManyToOneMapping;
    readonly conditions: readonly ((certificate: CertificateFacts) => boolean)[];
  }[];

  /** @throws {AppError} ERR_CONFIG_INVALID */
  constructor(mappings: readonly ManyToOneMapping[]) {
    this.#rules = mappings.map((mapping) => {
      if (mapping.rules.length === 0) {
        throw new AppError(
          "ERR_CONFIG_INVALID",
          `many-to-one mapping ${mapping.name} has no rules: it would take every certificate`,
        );
      }
      return { mapping, conditions: mapping.rules.map((rule) => makeCondition(rule)) };
    });
  }

  find(certificate: CertificateFacts): ManyToOneMapping | undefined {
    return this.#rules.find(({ conditions }) => conditions.every((holds) => holds(certificate)))?.mapping;
  }
}

/** A part that stands in the name several times, or among others in one relative name, fits if one of them does. */
function makeCondition(rule: CertificateCondition): (certificate: CertificateFacts) => boolean {
  if (rule.match.length > MAX_PATTERN_LENGTH) {
    throw new AppError("ERR_CONFIG_INVALID", `a match of more than ${MAX_PATTERN_LENGTH} characters`);
  }
  const oid = attributeOid(rule.sub);
  const fold = (text: string): string => {
    const normal = text.normalize("NFC");
    return rule.caseSensitive ? normal : normal.toLowerCase();
  };
  const pattern = fold(rule.match);
  return (certificate) =>
    valuesOf(certificate[rule.field], oid).some((v) => matchesWildcard(pattern, fold(v)));
}

function valuesOf(name: DistinguishedName, oid: string): readonly string[] {
  return name.flatMap((relative) => relative.filter((part) => part.oid === oid).map(({ value }) => value));
}
