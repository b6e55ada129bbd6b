import { createHmac, randomBytes } from "node:crypto";
import { BoundedMap } from "../bounded-map.js";
import type { Identity } from "../identity.js";
import type { LogonName, PasswordJudge } from "../judges.js";
import { Lockout } from "../lockout.js";
import { decodeBasic } from "./basic-credentials.js";

export interface BasicVerifierOptions {
  /** Shared with NTLM. */
  readonly lockout?: Lockout;
  /** Taken for names without a domain (IIS: defaultLogonDomain); default none. */
  readonly defaultLogonDomain?: string;
  /** How long a right credential is remembered; default 5 min. */
  readonly cacheMs?: number;
}

export type BasicVerdict =
  | { readonly type: "accepted"; readonly identity: Identity }
  | {
      readonly type: "refused";
      readonly reason: "malformed" | "locked" | "wrong password";
      readonly user?: string;
    };

const MAX_CACHED = 4096;
/** A wrong credential is remembered as briefly as it locks. */
const WRONG_CACHE_MS = 60_000;

interface Remembered {
  readonly identity: Identity;
  readonly at: number;
}

/**
 * Checks Basic credentials by any judge of passwords. A right credential is remembered under a keyed hash,
 * so that a range request costs neither key derivation nor directory; the same wrong one again counts once,
 * so that a machine with a stale password does not lock out the others behind its address.
 */
export class BasicVerifier {
  readonly #judge: PasswordJudge;
  readonly #lockout: Lockout;
  readonly #defaultDomain: string;
  readonly #cacheMs: number;
  readonly #key = randomBytes(32);
  readonly #right = new BoundedMap<Remembered>(MAX_CACHED);
  readonly #wrong = new BoundedMap<number>(MAX_CACHED);
  readonly #underway = new Map<string, Promise<BasicVerdict>>();
  #generation = 0;

  constructor(judge: PasswordJudge, options: BasicVerifierOptions = {}) {
    this.#judge = judge;
    this.#lockout = options.lockout ?? new Lockout();
    this.#defaultDomain = options.defaultLogonDomain ?? "";
    this.#cacheMs = options.cacheMs ?? 300_000;
  }

  /** Forgets right and wrong credentials: call it when accounts have changed. */
  forget(): void {
    this.#generation += 1;
    this.#right.clear();
    this.#wrong.clear();
    this.#underway.clear();
  }

  /**
   * @param address of the client, for the lock
   * @param now monotonic ms
   * @throws {AppError} ERR_RATE_LIMITED when too many checks wait; ERR_AUTH_UNAVAILABLE
   */
  async verify(token: string, address: string, now: number): Promise<BasicVerdict> {
    const credentials = decodeBasic(token);
    if (credentials === undefined) return { type: "refused", reason: "malformed" };
    const { password } = credentials;
    const { account: user, domain } = credentials.name;
    const name = { account: user, domain: domain === "" ? this.#defaultDomain : domain };
    // The lock comes first: while it holds, not even a right password is told from a wrong one.
    if (this.#lockout.isLocked(user, address, now)) return { type: "refused", reason: "locked", user };
    const key = createHmac("sha256", this.#key)
      .update(`${name.domain}\n${user}\n${password}`)
      .digest("base64");
    const right = this.#right.get(key);
    if (right !== undefined && now - right.at < this.#cacheMs) {
      return { type: "accepted", identity: right.identity };
    }
    const wrong = this.#wrong.get(`${address}\n${key}`);
    if (wrong !== undefined && now - wrong < WRONG_CACHE_MS) {
      return { type: "refused", reason: "wrong password", user };
    }
    return this.#once(`${address}\n${key}`, () => this.#ask(name, password, key, address, now));
  }

  async #ask(
    name: LogonName,
    password: string,
    key: string,
    address: string,
    now: number,
  ): Promise<BasicVerdict> {
    const generation = this.#generation;
    const identity = await this.#judge.check(name, password);
    // Guesses that were sent all at once are no more of them than one by one.
    const isLocked = this.#lockout.isLocked(name.account, address, now);
    if (identity !== undefined && isLocked) return { type: "refused", reason: "locked", user: name.account };
    if (identity !== undefined) {
      this.#lockout.succeeded(name.account, address);
      if (generation === this.#generation) this.#right.set(key, { identity, at: now });
      return { type: "accepted", identity };
    }
    this.#lockout.failed(name.account, address, now);
    if (generation === this.#generation) this.#wrong.set(`${address}\n${key}`, now);
    return { type: "refused", reason: "wrong password", user: name.account };
  }

  /** The same credential from several connections of one address at once costs, and counts as, one check. */
  async #once(key: string, run: () => Promise<BasicVerdict>): Promise<BasicVerdict> {
    const underway = this.#underway.get(key);
    if (underway !== undefined) return underway;
    const check = run().finally(() => {
      if (this.#underway.get(key) === check) this.#underway.delete(key);
    });
    this.#underway.set(key, check);
    return check;
  }
}
