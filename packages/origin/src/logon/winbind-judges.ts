import type { Directory, Identity, LogonName, NtlmJudge, PasswordJudge } from "@ckmesh/auth";
import { AppError, type Clock } from "@ckmesh/core";
import type { DomainNames } from "./domain-names.js";
import type { HelperPool } from "./helper-pool.js";
import type { AnswerReader } from "./helper-process.js";
import { ntlmServerReader, ntlmServerRequest } from "./ntlm-server-1.js";
import { whole } from "./route-judges.js";

/** How long it counts that the domain has answered. */
const PROBE_MS = 5000;
/** Long enough for NTLMv2, so that it is not refused before anybody is asked. */
const PROBE_RESPONSE_BYTES = 60;

/**
 * Judges NTLM responses by `ntlm_auth --helper-protocol=ntlm-server-1`: winbind asks the domain. The answer names
 * nobody, so who it was follows from the name that the client wrote.
 * @param directory says who bears a principal name
 */
export function winbindNtlmJudge(
  pool: HelperPool,
  domains: DomainNames,
  directory: Directory | undefined,
): NtlmJudge {
  return {
    async judge(response) {
      const request = ntlmServerRequest(response);
      if (request === undefined) return undefined;
      const answer = await pool.ask(request, ntlmServerReader());
      if (answer.type === "unavailable") throw unavailable(answer.reason);
      if (answer.type === "wrong") return undefined;
      const { account } = response.name;
      const identity = account.includes("@")
        ? await principalIdentity(account, domains, directory)
        : domains.identityOf(whole(response.name));
      return identity === undefined ? undefined : { identity, sessionBaseKey: answer.sessionBaseKey };
    },
  };
}

/**
 * `alice@medv.test` may be the principal name of an account that is not called alice: without a directory to ask,
 * it is nobody's but its own.
 */
async function principalIdentity(
  upn: string,
  domains: DomainNames,
  directory: Directory | undefined,
): Promise<Identity | undefined> {
  if (directory !== undefined) return directory.findByUpn(upn);
  return { name: upn, account: upn, domain: domains.netbiosDomain };
}

/**
 * Judges passwords by `ntlm_auth --helper-protocol=squid-2.5-basic`, which says ERR of a wrong password and of a
 * domain that is away alike.
 * @param probe tells the two apart; throws when the domain is away
 */
export function winbindPasswordJudge(
  pool: HelperPool,
  domains: DomainNames,
  probe: () => Promise<void>,
): PasswordJudge {
  return {
    async check(name, password) {
      if (name.account === "" || password === "") return undefined;
      const identity = domains.identityOf(name);
      const request = `${escape(logonText(name, identity.domain))} ${escape(password)}\n`;
      if ((await pool.ask(request, BASIC_READER)) === "OK") return identity;
      await probe();
      return undefined;
    },
  };
}

/**
 * Asks the domain about nobody, to see whether it answers at all; what it said counts for a few seconds. No account
 * is charged with a wrong password for it.
 * @param pool speaks ntlm-server-1
 * @returns rejects with ERR_AUTH_UNAVAILABLE
 */
export function winbindProbe(pool: HelperPool, clock: Clock): () => Promise<void> {
  const request = ntlmServerRequest({
    name: { account: "-", domain: "" },
    serverChallenge: new Uint8Array(8),
    ntResponse: new Uint8Array(PROBE_RESPONSE_BYTES),
  });
  if (request === undefined) throw new Error("unreachable: the name of the probe is one");
  let answeredAt = Number.NEGATIVE_INFINITY;
  return async () => {
    if (clock.now() - answeredAt < PROBE_MS) return;
    const answer = await pool.ask(request, ntlmServerReader());
    if (answer.type === "unavailable") throw unavailable(answer.reason);
    answeredAt = clock.now();
  };
}

function unavailable(reason: string): AppError {
  return new AppError("ERR_AUTH_UNAVAILABLE", `winbind cannot judge logons: ${reason}`);
}

/** Nothing may be said without being asked: one line is one answer. */
export function isNeverHarmless(): boolean {
  return false;
}

const BASIC_READER: AnswerReader<"OK" | "ERR"> = {
  line(text) {
    if (text === "OK") return "OK";
    if (text === "ERR" || text.startsWith("ERR ")) return "ERR";
    throw new Error("a line that is no answer");
  },
};

function logonText({ account, domain }: LogonName, fallback: string | undefined): string {
  return `${domain === "" ? (fallback ?? "") : domain}\\${account}`;
}

/** RFC 1738 escapes, which the helper undoes: no space or line end can be told from the protocol's own. */
function escape(text: string): string {
  let out = "";
  for (const byte of Buffer.from(text, "utf8")) out += `%${byte.toString(16).padStart(2, "0")}`;
  return out;
}
