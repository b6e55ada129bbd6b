/**
 * A refused password is tried once more after this, ms: a password that was just changed may not have reached every
 * domain controller. A little less than the interval of the checks, so that the next one tries.
 */
const RETRY_MS = 14 * 60_000;
/**
 * After the second refusal one try in this time, ms. Directories count wrong passwords over minutes (as a rule 10 in
 * 30), over all machines that use the account: a branch of fifty that asked each quarter of an hour would keep it
 * locked for ever. Once a day an account that was unlocked again is noticed without anybody's help.
 */
const STANDING_MS = 24 * 3_600_000;
/**
 * The same for a password that the server has accepted before, ms: more often than the password, the server or the
 * account is at fault (a lock of 30 minutes that anybody can bring about, a broken back end), and that must not keep a
 * fleet away for a day. Where the password was changed, Active Directory does not count a try of the one before.
 */
const ONCE_RIGHT_MS = 3_600_000;

/** What is known of a password at a server: unproven → accepted, or refused once → refused for good. */
export class PasswordStanding {
  #isProven = false;
  #wasRight = false;
  #refusals = 0;
  #refusedAt = 0;

  /** It was accepted, and not refused since: several connections may use it at a time. */
  get isProven(): boolean {
    return this.#isProven;
  }

  /** When it may be tried again, monotonic ms; undefined: at once. */
  get nextTryAt(): number | undefined {
    if (this.#refusals === 0) return undefined;
    if (this.#refusals === 1) return this.#refusedAt + RETRY_MS;
    return this.#refusedAt + (this.#wasRight ? ONCE_RIGHT_MS : STANDING_MS);
  }

  mayTry(now: number): boolean {
    return this.nextTryAt === undefined || now >= this.nextTryAt;
  }

  accepted(): void {
    this.#isProven = true;
    this.#wasRight = true;
    this.#refusals = 0;
  }

  refused(now: number): void {
    this.#isProven = false;
    // Requests that were under way with a password that had been accepted are refused together: that is one refusal.
    if (this.#refusals > 0 && now - this.#refusedAt < RETRY_MS) return;
    this.#refusals += 1;
    this.#refusedAt = now;
  }

  /** A person asked, or the password is another one: nothing is known. */
  reset(): void {
    this.#isProven = false;
    this.#wasRight = false;
    this.#refusals = 0;
  }
}
