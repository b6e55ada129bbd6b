import type { TlsFacts } from "@ckmesh/net";
import { type Finding, failed, ok, warning } from "./finding.js";

/** A certificate that ends sooner is worth a word, ms: a month is what renewals as a rule leave. */
const EXPIRY_NOTICE_MS = 30 * 86_400_000;
/** Kerberos refuses tickets beyond this difference of clocks by default, ms (RFC 4120 §7.5.1: `clockskew`). */
const KERBEROS_SKEW_MS = 300_000;
/** The Date header has whole seconds, and the answer took a while. */
const NOTABLE_SKEW_MS = 60_000;

const CHAIN_ADVICE =
  "pass the certificate of its authority with --ca, or have the server send the whole chain";

export function judgeTls(facts: TlsFacts, host: string, wallMs: number): Finding {
  const { problem, notAfter, notBefore, protocol, subject } = facts;
  const until = new Date(notAfter).toISOString().slice(0, 10);
  if (notAfter < wallMs)
    return failed(
      "tls",
      "ERR_ORIGIN_UNREACHABLE",
      `the certificate of ${subject} has expired (${until})`,
      "renew it, or set this machine's clock",
    );
  if (notBefore > wallMs)
    return failed(
      "tls",
      "ERR_ORIGIN_UNREACHABLE",
      `the certificate of ${subject} is not valid yet (from ${new Date(notBefore).toISOString()})`,
      "set this machine's clock",
    );
  if (problem === "ERR_TLS_CERT_ALTNAME_INVALID")
    return failed(
      "tls",
      "ERR_ORIGIN_UNREACHABLE",
      `the certificate is for ${facts.names === "" ? "no host name" : facts.names}, not for ${host}`,
      "use one of these names in the URL, or have a certificate with this one issued",
    );
  if (problem !== undefined)
    return failed(
      "tls",
      "ERR_ORIGIN_UNREACHABLE",
      `the certificate of ${subject}, issued by ${facts.issuer}, is not trusted here (${problem})`,
      CHAIN_ADVICE,
    );
  if (notAfter - wallMs < EXPIRY_NOTICE_MS)
    return warning("tls", `${protocol}; the certificate of ${subject} ends on ${until}`, "renew it in time");
  return ok("tls", `${protocol}, certificate of ${subject} until ${until}`);
}

/** @param date the Date header of an answer that took `tookMs` */
export function judgeClock(
  date: string | undefined,
  wallMs: number,
  tookMs: number,
  usesTickets: boolean,
): Finding {
  const at = date === undefined ? Number.NaN : Date.parse(date);
  if (Number.isNaN(at)) return { check: "clock", status: "skipped", message: "the server states no time" };
  // The header was written somewhere between request and answer, and has no fractions.
  const skewMs = Math.max(0, Math.abs(wallMs - at) - tookMs - 1000);
  const seconds = Math.round(skewMs / 1000);
  if (skewMs > KERBEROS_SKEW_MS && usesTickets)
    return failed(
      "clock",
      "ERR_AUTH_REQUIRED",
      `the clocks of this machine and the server differ by ${seconds} s; Kerberos allows 300`,
      "set both by NTP",
    );
  if (skewMs > NOTABLE_SKEW_MS)
    return warning(
      "clock",
      `the clocks of this machine and the server differ by ${seconds} s`,
      "set both by NTP: tickets and certificates depend on it",
    );
  return ok("clock", `the clocks agree within ${seconds + 1} s`);
}

/** Redirects are not followed: a credential must not go where nobody configured it. */
export function judgeRedirect(status: number, location: string | undefined): Finding {
  if (status < 300 || status >= 400 || status === 304) return ok("redirect", "no redirect");
  const target = location?.slice(0, 300) ?? "nowhere";
  return failed(
    "redirect",
    "ERR_ORIGIN_INVALID",
    `the server redirects to ${target} (status ${status})`,
    "redirects are not followed: if that is the right place, configure it as the origin",
  );
}
