import type { MethodProblem } from "@ckmesh/auth";
import { AppError, describeError, isAppError } from "@ckmesh/core";

/** What an answer's head says that matters for errors. */
export interface AnswerHead {
  readonly status: number;
  /** First value of a header, by lower-case name. */
  header(name: string): string | undefined;
}

/** Longest pause that a Retry-After is believed, ms. */
const MAX_RETRY_MS = 3_600_000;
/** Pause after a 429 that names none, ms. */
const DEFAULT_RETRY_MS = 5_000;

/**
 * Ms from a Retry-After header (RFC 9110 §10.2.3: seconds or an HTTP date), within an hour;
 * undefined when it is absent or neither.
 */
function parseRetryAfter(header: string | undefined, wallMs: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Math.min(MAX_RETRY_MS, Number(header) * 1000);
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.min(MAX_RETRY_MS, Math.max(0, at - wallMs));
}

/** The error for an answer that is none of 200, 206 and 304. `what` names the URL. */
export function errorOfAnswer(head: AnswerHead, what: string, wallMs: number): AppError {
  const { status } = head;
  const details = { status };
  const retryMs = parseRetryAfter(head.header("retry-after"), wallMs);
  if (status === 429 || (status === 503 && retryMs !== undefined)) {
    return new AppError("ERR_RATE_LIMITED", `the origin asks to wait before ${what} (status ${status})`, {
      details: { status, retryMs: retryMs ?? DEFAULT_RETRY_MS },
    });
  }
  switch (status) {
    case 401: {
      const offered = head.header("www-authenticate")?.slice(0, 200) ?? "nothing";
      return new AppError(
        "ERR_AUTH_REQUIRED",
        `the origin wants credentials for ${what}, or refused those it got (it offers: ${offered}); check user and password`,
        { details },
      );
    }
    case 403:
      return new AppError(
        "ERR_AUTH_FORBIDDEN",
        `the origin forbids ${what} to this user, or to everybody who gives no credentials over https`,
        { details },
      );
    case 407:
      return new AppError(
        "ERR_ORIGIN_UNREACHABLE",
        "the proxy wants credentials, or refused those it got: see proxyCredentialsFile (Basic only)",
        { details },
      );
    case 404:
    case 410:
      return new AppError("ERR_IMAGE_NOT_FOUND", `the origin has no ${what}`, { details });
    case 412:
      return new AppError("ERR_ORIGIN_CHANGED", `${what} changed at the origin`, { details });
    case 416:
      return new AppError("ERR_ORIGIN_INVALID", `${what} is shorter at the origin than its index says`, {
        details,
      });
    default:
  }
  if (status >= 300 && status < 400) {
    const target = head.header("location")?.slice(0, 300) ?? "nowhere";
    return new AppError(
      "ERR_ORIGIN_INVALID",
      `the origin redirects ${what} to ${target}; redirects are not followed: if that is right, configure it as the origin's URL`,
      { details: { status, target } },
    );
  }
  if (status >= 500) {
    return new AppError("ERR_ORIGIN_UNREACHABLE", `the origin failed on ${what} with status ${status}`, {
      details,
    });
  }
  return new AppError("ERR_ORIGIN_INVALID", `the origin answered ${what} with status ${status}`, { details });
}

/** IIS says it in the page of its 403 only, whatever the language: 403.7, a client certificate is required. */
export function asksForCertificate(page: string): boolean {
  return /\b403\.7\b/.test(page);
}

/** The error of a logon that failed: what the server offered, what was tried, and why each failed. */
export function errorOfLogon(
  step: { readonly offered: readonly string[]; readonly problems: readonly MethodProblem[] },
  what: string,
  nextTryWall: number | undefined,
): AppError {
  const { offered, problems } = step;
  const offers = offered.length === 0 ? "" : ` (it offers: ${offered.slice(0, 8).join(", ")})`;
  const tried = problems.map(({ method, problem }) => `${method}: ${problem}`).join("; ");
  const hint = tried === "" ? "none of that can be used with the credentials configured" : tried;
  const nextTry = nextTryWall === undefined ? undefined : new Date(nextTryWall).toISOString();
  const wait =
    nextTry === undefined
      ? ""
      : `. The password is not tried again before ${nextTry}, unless it changes or somebody asks (ckmesh client check)`;
  return new AppError(
    "ERR_AUTH_REQUIRED",
    `the origin does not let this client log on for ${what}${offers}: ${hint}${wait}`,
    { details: { status: 401, offered, problems, ...(nextTry !== undefined && { nextTry }) } },
  );
}

const CERTIFICATE_WANTED = "it wants a client certificate: pass --cert and --key";

/** Advice by the code of a TLS failure (Node's and OpenSSL's names). */
const TLS_ADVICE: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed: pass it as the CA file",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate comes from an unknown authority: pass that one's CA file",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    "its certificate comes from an unknown authority: pass that one's CA file",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate comes from an unknown authority: pass that one's CA file",
  CERT_HAS_EXPIRED: "its certificate has expired, or the clock of this machine is wrong",
  CERT_NOT_YET_VALID: "its certificate is not valid yet, or the clock of this machine is wrong",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another host name",
  ERR_SSL_WRONG_VERSION_NUMBER: "it does not speak TLS there: is it http://, or another port?",
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: CERTIFICATE_WANTED,
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: "it does not trust the authority of the certificate of --cert",
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE:
    "it breaks TLS off: it wants another protocol version, or a client certificate (--cert and --key)",
  ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE: "it does not take the certificate of --cert",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED: "it says that the certificate of --cert was revoked",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED: "it says that the certificate of --cert has expired",
  ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN: "it does not take the certificate of --cert",
  EPROTO: "it does not speak TLS there: is it http://, or another port?",
};

/** The error for a request that failed below HTTP: abort, time-out, connection, TLS. */
export function errorOfFailure(err: unknown, what: string, signal: AbortSignal | undefined): AppError {
  if (isAppError(err)) return err;
  if (signal?.aborted === true) return new AppError("ERR_ABORTED", `${what} aborted`, { cause: err });
  const code = codeOf(err) ?? "";
  switch (code) {
    case "UND_ERR_HEADERS_TIMEOUT":
      return new AppError("ERR_TIMEOUT", `the origin did not answer ${what} in time`, { cause: err });
    case "UND_ERR_BODY_TIMEOUT":
      return new AppError("ERR_TIMEOUT", `the origin stopped sending ${what}`, { cause: err });
    case "UND_ERR_DESTROYED":
    case "UND_ERR_CLOSED":
      return new AppError("ERR_ABORTED", "the connection to the origin was closed", { cause: err });
    case "UND_ERR_HEADERS_OVERFLOW":
      return new AppError("ERR_ORIGIN_INVALID", `the origin's answer to ${what} has too large a head`, {
        cause: err,
      });
    default:
  }
  // undici gives its parser's errors a code or not, depending on the failure.
  if (code.startsWith("HPE_") || (err instanceof Error && err.name === "HTTPParserError")) {
    return new AppError("ERR_ORIGIN_INVALID", `the origin's answer to ${what} is no valid HTTP`, {
      cause: err,
    });
  }
  const advice = TLS_ADVICE[code];
  const why = advice ?? describeError(err);
  return new AppError("ERR_ORIGIN_UNREACHABLE", `no answer from the origin to ${what}: ${why}`, {
    cause: err,
    details: { cause: code },
  });
}

/** The first `code` in a chain of causes. */
function codeOf(err: unknown): string | undefined {
  for (let at: unknown = err, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth += 1) {
    if ("code" in at && typeof at.code === "string") return at.code;
  }
  return undefined;
}
