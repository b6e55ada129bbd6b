import { createHmac, randomBytes } from "node:crypto";
import { AppError } from "@ckmesh/core";
import type { Accounts } from "../accounts.js";
import { BoundedMap } from "../bounded-map.js";
import type { Identity } from "../identity.js";
import { Lockout, type LockoutOptions } from "../lockout.js";
import { NOBODY, verifyPassword } from "../password-hash.js";
import { type BasicCredentials, decodeBasic } from "./basic-credentials.js";

export interface BasicVerifierOptions {
  readonly lockout?: LockoutOptions;
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

/** Each check takes 32 MiB and a thread of the pool that also reads files. */
const MAX_CHECKS_AT_ONCE = 2;
/** Checks that wait; more are turned away. */
const MAX_CHECKS_WAITING = 64;
const MAX_CACHED = 4096;
/** A wrong credential is remembered as briefly as it locks. */
const WRONG_CACHE_MS = 60_000;

interface Remembered {
  readonly identity: Identity;
  readonly at: number;
}

/**
 * Checks Basic credentials against accounts. A right credential is remembered under a keyed hash, so that
 * a range request costs no key derivation; the same wrong one again counts once, so that a machine with a
 * stale password does not lock out the others behind its address.
 */
export class BasicVerifier {
  #accounts: Accounts;
  readonly #lockout: Lockout;
  readonly #cacheMs: number;
  readonly #key = randomBytes(32);
  readonly #right = new BoundedMap<Remembered>(MAX_CACHED);
  readonly #wrong = new BoundedMap<number>(MAX_CACHED);
  readonly #underway = new Map<string, Promise<BasicVerdict>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #generation = 0;

  constructor(accounts: Accounts, options: BasicVerifierOptions = {}) {
    this.#accounts = accounts;
    this.#lockout = new Lockout(options.lockout);
    this.#cacheMs = options.cacheMs ?? 300_000;
  }

  /** Takes new accounts and forgets what it remembered of the old ones. */
  replaceAccounts(accounts: Accounts): void {
    this.#accounts = accounts;
    this.#generation += 1;
    this.#right.clear();
    this.#wrong.clear();
    this.#underway.clear();
  }

  /**
   * @param address of the client, for the lock
   * @param now monotonic ms
   * @throws {AppError} ERR_RATE_LIMITED when too many checks wait
   */
  async verify(token: string, address: string, now: number): Promise<BasicVerdict> {
    const credentials = decodeBasic(token);
    if (credentials === undefined) return { type: "refused", reason: "malformed" };
    const { user, password } = credentials;
    // The lock comes first: while it holds, not even a right password is told from a wrong one.
    if (this.#lockout.isLocked(user, address, now)) return { type: "refused", reason: "locked", user };
    const key = createHmac("sha256", this.#key).update(`${user}\n${password}`).digest("base64");
    const right = this.#right.get(key);
    if (right !== undefined && now - right.at < this.#cacheMs)
      return { type: "accepted", identity: right.identity };
    const wrong = this.#wrong.get(`${address}\n${key}`);
    if (wrong !== undefined && now - wrong < WRONG_CACHE_MS) {
      return { type: "refused", reason: "wrong password", user };
    }
    return this.#once(`${address}\n${key}`, () => this.#judge(credentials, key, address, now));
  }

  async #judge(
    credentials: BasicCredentials,
    key: string,
    address: string,
    now: number,
  ): Promise<BasicVerdict> {
    const { user, password } = credentials;
    const account = this.#accounts.find(user);
    const generation = this.#generation;
    const matches = await this.#inTurn(() => verifyPassword(account?.password ?? NOBODY, password));
    if (matches && account !== undefined) {
      this.#lockout.succeeded(user, address);
      const identity = { name: account.name, account: account.name };
      if (generation === this.#generation) this.#right.set(key, { identity, at: now });
      return { type: "accepted", identity };
    }
    this.#lockout.failed(user, address, now);
    if (generation === this.#generation) this.#wrong.set(`${address}\n${key}`, now);
    return { type: "refused", reason: "wrong password", user };
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

  async #inTurn(run: () => Promise<boolean>): Promise<boolean> {
    if (this.#running >= MAX_CHECKS_AT_ONCE) {
      if (this.#waiting.length >= MAX_CHECKS_WAITING) {
        throw new AppError("ERR_RATE_LIMITED", "too many passwords to check at once; try again", {
          details: { retryMs: 2000 },
        });
      }
      // Whoever ends hands its place over: #running stays as it is.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      return await run();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
