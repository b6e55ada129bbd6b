import {
  type Directory,
  type Identity,
  type NtlmJudge,
  ntlmPasswordResponse,
  type PasswordJudge,
} from "@ckmesh/auth";
import { AppError, type Clock } from "@ckmesh/core";
import type { DomainNames } from "./domain-names.js";
import type { HelperPool } from "./helper-pool.js";
import { ntlmServerReader, ntlmServerRequest } from "./ntlm-server-1.js";
import { whole } from "./route-judges.js";

/** [MS-NLMP] 2.2.1.2. */
const CHALLENGE_BYTES = 8;

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
      const { account, domain } = response.name;
      // Whom the DC of another domain knows by a principal name need not be whom our directory finds by it.
      if (account.includes("@") && domain !== "" && !domains.isOwn(domain)) return undefined;
      const request = ntlmServerRequest(response);
      if (request === undefined) return undefined;
      const answer = await pool.ask(request, ntlmServerReader());
      if (answer.type === "unavailable") throw unavailable(answer.reason);
      if (answer.type === "wrong") return undefined;
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
 * Judges passwords as a logon by NTLM: `ntlm_auth --helper-protocol=squid-2.5-basic` says ERR of a wrong password and
 * of a domain that is away alike, ntlm-server-1 tells them apart.
 * @param ntlm asks winbind
 */
export function winbindPasswordJudge(
  ntlm: NtlmJudge,
  domains: DomainNames,
  { randomBytes, clock }: PasswordJudgeDeps,
): PasswordJudge {
  return {
    async check({ account, domain }, password) {
      if (account === "" || password === "") return undefined;
      const isOwn = domain === "" || domains.isOwn(domain);
      const name = { account, domain: isOwn ? domains.netbiosDomain : domain };
      const serverChallenge = randomBytes(CHALLENGE_BYTES);
      const clientChallenge = randomBytes(CHALLENGE_BYTES);
      const wall = clock.wall();
      const ntResponse = ntlmPasswordResponse({ name, password, serverChallenge, clientChallenge, wall });
      return (await ntlm.judge({ name, serverChallenge, ntResponse }))?.identity;
    },
  };
}

interface PasswordJudgeDeps {
  readonly randomBytes: (count: number) => Uint8Array;
  readonly clock: Pick<Clock, "wall">;
}

function unavailable(reason: string): AppError {
  return new AppError("ERR_AUTH_UNAVAILABLE", `winbind cannot judge logons: ${reason}`);
}
