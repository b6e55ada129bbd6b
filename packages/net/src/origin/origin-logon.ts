import { ClientLogon, type PasswordCredentials } from "@ckmesh/auth";
import { AppError } from "@ckmesh/core";

/** How this client proves who it is; the certificate is the business of TLS. */
export interface LogonSettings {
  readonly credentials?: PasswordCredentials;
  /** Negotiate: a Kerberos ticket if there is one, then NTLM with the credentials if there are any. */
  readonly negotiate?: boolean;
  /** NTLM only, bare or inside Negotiate. */
  readonly ntlm?: boolean;
  /** Basic over plain http too: the password travels readable. */
  readonly allowBasicOverHttp?: boolean;
}

/**
 * The logon of an origin; undefined where there is nothing to log on with.
 * @throws {AppError} ERR_CONFIG_INVALID when the settings contradict each other or the URL
 */
export function createLogon(
  url: URL,
  isPlainProxied: boolean,
  { credentials, negotiate = false, ntlm = false, allowBasicOverHttp = false }: LogonSettings,
): ClientLogon | undefined {
  if (ntlm && credentials === undefined)
    throw new AppError("ERR_CONFIG_INVALID", "ntlm: it needs a user and a password (user, passwordFile)");
  if (credentials === undefined && !negotiate) return undefined;
  const isWindowsOnly = negotiate || ntlm;
  if (isWindowsOnly && isPlainProxied)
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `proxy: NTLM and Negotiate log a connection on, and a proxy shares its connections to ${url.origin} among users; use https:// for the origin, or proxyBypass`,
    );
  const mayBasic = url.protocol === "https:" || allowBasicOverHttp;
  if (credentials !== undefined && !isWindowsOnly && !mayBasic)
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `a password for ${url.origin} would travel readable; use https:// for the origin, --ntlm, or no credentials`,
    );
  return new ClientLogon({
    ...(credentials !== undefined && { credentials }),
    passwordUse: isWindowsOnly ? "ntlm" : "basic",
    useTickets: negotiate,
    mayBasic,
    // Nor is a connection through a shared one logged on when Basic fails there.
    mayNtlm: !isPlainProxied,
  });
}
