import { createRequire } from "node:module";
import { AppError, describeError } from "@ckmesh/core";

/** Where tokens for a server come from. */
export interface TicketSource {
  /**
   * A SPNEGO token with a Kerberos ticket for `HTTP@host`, base64; each can be used once.
   * @throws {AppError} ERR_AUTH_REQUIRED saying what is missing
   */
  token(host: string): Promise<string>;
}

/** What is used of the optional package `kerberos`. */
interface KerberosModule {
  readonly GSS_MECH_OID_SPNEGO: number;
  initializeClient(
    service: string,
    options: { readonly mechOID: number },
  ): Promise<{ step(challenge: string): Promise<string> }>;
}

const PACKAGE = "kerberos";

/** Tickets of this machine's credential cache (`kinit`, a keytab with `KRB5_CLIENT_KTNAME`, on Windows the logon). */
export class KerberosTickets implements TicketSource {
  async token(host: string): Promise<string> {
    const kerberos = loadKerberos();
    try {
      const client = await kerberos.initializeClient(`HTTP@${host}`, {
        mechOID: kerberos.GSS_MECH_OID_SPNEGO,
      });
      return await client.step("");
    } catch (cause) {
      throw new AppError(
        "ERR_AUTH_REQUIRED",
        `no Kerberos ticket for HTTP/${host} (${describeError(cause)}): is there a ticket (klist), and is the service known under this host name?`,
        { cause },
      );
    }
  }
}

/** Optional, as it needs a compiler at its installation. */
function loadKerberos(): KerberosModule {
  let loaded: unknown;
  try {
    loaded = createRequire(import.meta.url)(PACKAGE);
  } catch (cause) {
    throw new AppError(
      "ERR_AUTH_REQUIRED",
      "Kerberos needs the optional package kerberos: npm install kerberos (it needs a compiler and the Kerberos headers, on Debian libkrb5-dev)",
      { cause },
    );
  }
  if (!isKerberosModule(loaded))
    throw new AppError("ERR_AUTH_REQUIRED", "the package kerberos is of an unknown version");
  return loaded;
}

function isKerberosModule(value: unknown): value is KerberosModule {
  return (
    typeof value === "object" &&
    value !== null &&
    "initializeClient" in value &&
    typeof value.initializeClient === "function" &&
    "GSS_MECH_OID_SPNEGO" in value
  );
}
