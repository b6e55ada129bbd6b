/** A parsed Authorization header of the token68 kind (RFC 9110 §11.4): all schemes that we know use it. */
export interface Authorization {
  /** Lower case. */
  readonly scheme: string;
  readonly token: string;
}

/** Longer headers never get here: servers limit all headers together to 64 KiB (Kerberos tokens are large). */
const MAX_TOKEN_LENGTH = 65_536;

/** Parses `scheme SP token68`; undefined for anything else. */
export function parseAuthorization(header: string): Authorization | undefined {
  if (header.length > MAX_TOKEN_LENGTH) return undefined;
  const m = /^([a-z][a-z0-9-]{0,31}) {1,8}([a-z0-9\-._~+/]+={0,2})$/i.exec(header);
  const [scheme, token] = [m?.[1], m?.[2]];
  return scheme === undefined || token === undefined ? undefined : { scheme: scheme.toLowerCase(), token };
}
