import { timingSafeEqual } from "node:crypto";
import type { Identity } from "../identity.js";
import type { LogonName, NtlmJudge, NtlmResponse, PasswordJudge } from "../judges.js";
import { parseLogonName } from "../logon-name.js";
import { ntlmV2Key, parseV2Response, sessionBaseKey, v2Proof } from "../ntlm/ntlm-v2.js";
import { WorkQueue } from "../work-queue.js";
import { type Account, Accounts } from "./accounts.js";
import { NOBODY, verifyPassword } from "./password-hash.js";

/** Each check of a password takes 32 MiB and a thread of the pool that also reads files. */
const MAX_CHECKS_AT_ONCE = 2;
const MAX_CHECKS_WAITING = 64;

/**
 * Judges by the accounts file, for Basic and NTLM. Local accounts have no domain: whichever a client
 * writes is left aside, except that NTLM's proof covers it as sent.
 */
export class LocalJudge implements PasswordJudge, NtlmJudge {
  #accounts: Accounts;
  readonly #queue = new WorkQueue(MAX_CHECKS_AT_ONCE, MAX_CHECKS_WAITING);
  /** Stands in for the hash of names that do not exist: the same work, never the right answer. */
  readonly #nobodyNtHash: Uint8Array;

  constructor(randomBytes: (count: number) => Uint8Array, accounts = new Accounts([])) {
    this.#nobodyNtHash = randomBytes(16);
    this.#accounts = accounts;
  }

  replaceAccounts(accounts: Accounts): void {
    this.#accounts = accounts;
  }

  /** @throws {AppError} ERR_RATE_LIMITED when too many checks wait */
  async check(name: LogonName, password: string): Promise<Identity | undefined> {
    const account = this.#accounts.find(name.account);
    const isRight = await this.#queue.run(() => verifyPassword(account?.password ?? NOBODY, password));
    return isRight && account !== undefined ? identityOf(account) : undefined;
  }

  async judge(response: NtlmResponse): Promise<Judged | undefined> {
    const { account, domain } = response.name;
    const parsed = parseV2Response(response.ntResponse);
    if (parsed === undefined) return undefined;
    const found = this.#accounts.find(parseLogonName(account).account.normalize("NFC"));
    const key = ntlmV2Key(found?.ntHash ?? this.#nobodyNtHash, account, domain);
    const isRight = timingSafeEqual(v2Proof(key, response.serverChallenge, parsed.temp), parsed.proof);
    if (!isRight || found?.ntHash === undefined) return undefined;
    return { identity: identityOf(found), sessionBaseKey: sessionBaseKey(key, parsed.proof) };
  }
}

interface Judged {
  readonly identity: Identity;
  readonly sessionBaseKey: Uint8Array;
}

function identityOf({ name }: Account): Identity {
  return { name, account: name };
}
