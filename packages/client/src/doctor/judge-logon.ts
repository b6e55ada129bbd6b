import { type Finding, failed, ok, skipped, warning } from "./finding.js";

/** A way to log on that is tried by itself. */
export type Method = "Kerberos" | "NTLM" | "Basic";

/** What the settings allow. */
export interface Means {
  readonly hasPassword: boolean;
  readonly hasTickets: boolean;
  readonly hasCertificate: boolean;
  readonly isTls: boolean;
  readonly allowBasicOverHttp: boolean;
}

/** What became of a method. */
export interface Attempt {
  readonly method: Method;
  readonly problem?: string;
}

/** @param offered schemes of the answer to a request without credentials, lower case */
export function judgeMethods(status: number, offered: readonly string[], means: Means): Finding {
  if (status === 403)
    return failed(
      "methods",
      "ERR_AUTH_FORBIDDEN",
      "the server forbids everybody who gives no credentials, and offers no way to log on",
      means.hasCertificate
        ? "the certificate may be unknown to the server, or its account without the right to read"
        : "it may want a client certificate (--cert and --key), or https",
    );
  if (status !== 401) return ok("methods", "the server asks for no credentials here");
  if (offered.length === 0)
    return failed(
      "methods",
      "ERR_AUTH_REQUIRED",
      "the server wants credentials and offers no method",
      "enable Basic or Windows authentication on it",
    );
  const list = offered.join(", ");
  if (offered.length === 1 && offered[0] === "basic" && !means.isTls)
    return warning(
      "methods",
      "the server offers only Basic, and over plain http",
      "use https: passwords travel readable",
    );
  return ok("methods", `the server offers ${list}`);
}

/** Which of them are tried: each once, a password that was refused not again. */
export function methodsToTry(offered: readonly string[], means: Means): readonly Method[] {
  const methods: Method[] = [];
  if (means.hasTickets && offered.includes("negotiate")) methods.push("Kerberos");
  if (!means.hasPassword) return methods;
  if (offered.includes("ntlm") || offered.includes("negotiate")) methods.push("NTLM");
  if (offered.includes("basic") && (means.isTls || means.allowBasicOverHttp)) methods.push("Basic");
  return methods;
}

/** One finding for all methods: one that works is enough. */
export function judgeLogon(attempts: readonly Attempt[], offered: readonly string[], means: Means): Finding {
  const works = attempts.filter(({ problem }) => problem === undefined).map(({ method }) => method);
  const broken = attempts.flatMap(({ method, problem }) =>
    problem === undefined ? [] : [`${method}: ${problem}`],
  );
  if (works.length > 0) {
    if (broken.length === 0) return ok("logon", `works with ${works.join(", ")}`);
    return warning(
      "logon",
      `works with ${works.join(", ")}; ${broken.join("; ")}`,
      "see what fails, if it is to be used",
    );
  }
  if (broken.length > 0)
    return failed(
      "logon",
      "ERR_AUTH_REQUIRED",
      broken.join("; "),
      "check user, password and the account at the server",
    );
  if (!means.hasPassword && !means.hasTickets)
    return failed(
      "logon",
      "ERR_AUTH_REQUIRED",
      "no credentials are configured",
      offered.includes("negotiate")
        ? "give --user and --password-file, or --negotiate to use a Kerberos ticket"
        : "give --user and --password-file",
    );
  if (offered.includes("basic") && !means.isTls)
    return failed(
      "logon",
      "ERR_AUTH_REQUIRED",
      "Basic is used over https only: the password would travel readable",
      "use https",
    );
  return skipped("logon", `none of ${offered.join(", ")} can be used with these credentials`);
}
