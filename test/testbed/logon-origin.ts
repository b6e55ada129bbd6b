import { issueForLoopback, type KeyPair, type TestCa } from "./certificates.js";
import type { KerberosModule } from "./kerberos-module.js";
import { writeAccounts } from "./local-accounts.js";
import { OriginUnderTest } from "./origin-under-test.js";
import type { TicketServer } from "./testbed.js";

export interface LogonOriginOptions {
  readonly folder: string;
  readonly kdc: TicketServer;
  readonly kerberos: KerberosModule;
  readonly ca: TestCa;
  /** Absent: one of `ca`. */
  readonly tls?: KeyPair;
  /** What certificates of `ca` stand for: `oneToOneMappings`, `manyToOneMappings`, `crl`. */
  readonly clientCertificates: object;
  readonly rights: object;
  readonly settings?: object;
}

const TIMEOUT_MS = 90_000;

/** The origin command with every way to log on: local accounts, the realm of a KDC, client certificates. */
export async function startLogonOrigin(options: LogonOriginOptions): Promise<OriginUnderTest> {
  const { folder, kdc, kerberos, ca, rights, settings } = options;
  return OriginUnderTest.start(
    {
      folder,
      tls: options.tls ?? (await issueForLoopback(ca)),
      authentication: {
        accountsFile: await writeAccounts(folder),
        windows: {
          enabled: true,
          netbiosDomain: "MEDV",
          kerberos: { keytab: kdc.env["KRB5_KTNAME"], realms: [kdc.env["KRB5_REALM"]] },
        },
        clientCertificates: { ca: ca.cert, ...options.clientCertificates },
      },
      rights,
      settings: { certListen: "127.0.0.1:0", ...settings },
      env: {
        KRB5_CONFIG: kdc.env["KRB5_CONFIG"] ?? "",
        ...(kerberos.type === "there" ? kerberos.env : {}),
      },
    },
    AbortSignal.timeout(TIMEOUT_MS),
  );
}
