import { CertificateMapper, type Directory } from "@ckmesh/auth";
import type { Clock, Logger } from "@ckmesh/core";
import type { CertificateParts } from "../access/certificate-gate.js";
import { ClientCertificates } from "../certificate/client-certificates.js";
import { ClientTrust, readCertificateFile } from "../certificate/client-trust.js";
import type { AuthenticationConfig } from "../config/authentication-schema.js";

/**
 * Whom client certificates stand for, and which of them count.
 * @throws {AppError} ERR_CONFIG_INVALID naming file or mapping
 */
export function openCertificates(
  config: NonNullable<AuthenticationConfig["clientCertificates"]>,
  directory: Directory | undefined,
  deps: { readonly clock: Clock; readonly logger: Logger },
): CertificateParts {
  const { oneToOneMappings = [], manyToOneMappings = [], directoryMapping } = config;
  const mapper = new CertificateMapper(
    {
      oneToOne: oneToOneMappings,
      manyToOne: manyToOneMappings.map(({ name, permission, account = "", rules }, i) => ({
        name: name ?? `number ${i + 1}`,
        permission,
        account,
        rules: rules.map((rule) => ({ ...rule, caseSensitive: rule.caseSensitive ?? false })),
      })),
      ...(directoryMapping !== undefined && {
        directory: {
          ...directoryMapping,
          weakForms: directoryMapping.weakForms ?? false,
          issuers: readCertificateFile(
            directoryMapping.issuers,
            "clientCertificates.directoryMapping.issuers",
          ),
        },
      }),
    },
    directory,
  );
  const trust = ClientTrust.start({ caFiles: [config.ca], crlFiles: config.crl ?? [], ...deps });
  return { trust, clients: new ClientCertificates({ trust, mapper, clock: deps.clock }) };
}
