import { describeError } from "@ckmesh/core";
import { type Challenge, parseChallenges } from "./challenges.js";
import { basicToken, type ClientLogon, type PasswordCredentials } from "./client-logon.js";
import { type Binding, NtlmHandshake } from "./ntlm-handshake.js";

/** As people know them. */
export type ClientMethod = "Kerberos" | "NTLM" | "NTLM in Negotiate" | "Basic";

/** What became of one method. */
export interface MethodProblem {
  /** `password`: none that needs it was tried. */
  readonly method: ClientMethod | "password";
  readonly problem: string;
}

export type LogonStep =
  /** Send the request, once more, with this Authorization. */
  | {
      readonly type: "send";
      readonly authorization: string;
      /** What is used up if the server refuses. */
      readonly stakes: "password" | "ticket";
      /** Only good on the connection whose answer it is made from. */
      readonly isBound: boolean;
    }
  /** Get a ticket for the server, then call `ticket`. */
  | { readonly type: "get-ticket" }
  /** Send the request without Authorization: the handshake begins anew. */
  | { readonly type: "restart" }
  | {
      readonly type: "give-up";
      readonly offered: readonly string[];
      readonly problems: readonly MethodProblem[];
    };

/** A server may close the connection between two legs; more often than this in a row and it does so always. */
const MAX_RESTARTS = 2;

/** What was sent last. */
type Leg =
  | { readonly method: "Kerberos" | "Basic" }
  | {
      readonly method: "NTLM" | "NTLM in Negotiate";
      readonly handshake: NtlmHandshake;
      readonly isLast: boolean;
    };

/**
 * The client's side of one request's logon on one connection: idle → a leg sent → … → accepted, or given up. What a
 * connection proved is the server's to remember (NTLM as a rule, Kerberos by its settings); where it does not, the
 * next 401 begins anew.
 */
export class RequestLogon {
  readonly #logon: ClientLogon;
  readonly #problems: MethodProblem[] = [];
  #offered: readonly string[] = [];
  #leg: Leg | undefined;
  #restarts = 0;

  constructor(logon: ClientLogon) {
    this.#logon = logon;
  }

  /** What comes before the server asks for anything; undefined: nothing. */
  first(now: number): LogonStep | undefined {
    const { credentials, isBasicFirst, standing, needsTicketEach } = this.#logon;
    if (needsTicketEach) return { type: "get-ticket" };
    if (credentials === undefined || !isBasicFirst || !standing.mayTry(now)) return undefined;
    return this.#sendBasic(credentials);
  }

  /** Whether the password that is about to be sent may still be: another request may have been refused meanwhile. */
  recheck(now: number): LogonStep | undefined {
    return this.#logon.standing.mayTry(now) ? undefined : this.#giveUpRefused();
  }

  /** The answer was no 401. `isJudged`: it shows that the credentials were looked at. */
  answered(isJudged: boolean): void {
    if (isJudged && this.#leg !== undefined && this.#leg.method !== "Kerberos")
      this.#logon.standing.accepted();
    this.#leg = undefined;
  }

  /** The connection that carried the last leg is gone, and with it what the server knew of the handshake. */
  lost(): LogonStep {
    this.#leg = undefined;
    this.#restarts += 1;
    return this.#restarts <= MAX_RESTARTS
      ? { type: "restart" }
      : this.#giveUp("NTLM", "the server closes the connection between the steps of the handshake");
  }

  /** The answer was 401 with these `WWW-Authenticate` lines. */
  challenged(lines: readonly string[], binding: Binding, now: number): LogonStep {
    const challenges = parseChallenges(lines);
    const leg = this.#leg;
    this.#leg = undefined;
    if (this.#offered.length === 0 || challenges.length > 1)
      this.#offered = [...new Set(challenges.map(({ scheme }) => scheme))];
    if (leg === undefined) return this.#next(challenges, now);
    switch (leg.method) {
      case "Basic":
        if (challenges.some(({ scheme }) => scheme === "basic")) return this.#refused("Basic", now);
        this.#logon.offersNoBasic();
        this.#problems.push({ method: "Basic", problem: "the server does not offer it" });
        return this.#next(challenges, now);
      case "Kerberos":
        this.#problems.push({
          method: "Kerberos",
          problem:
            "the server refused the ticket (its service account, the clocks, or a ticket older than its key)",
        });
        return this.#next(challenges, now);
      case "NTLM":
      case "NTLM in Negotiate":
        return leg.isLast ? this.#refused(leg.method, now) : this.#answer(leg, challenges, binding, now);
    }
  }

  /** The end of `get-ticket`; undefined: send the request as it is. */
  ticket(
    answer: { readonly token: string } | { readonly problem: string },
    now: number,
  ): LogonStep | undefined {
    if ("token" in answer) {
      this.#leg = { method: "Kerberos" };
      return { type: "send", authorization: `Negotiate ${answer.token}`, stakes: "ticket", isBound: false };
    }
    this.#problems.push({ method: "Kerberos", problem: answer.problem });
    if (this.#offered.length === 0) return undefined;
    return this.#next(
      this.#offered.map((scheme) => ({ scheme })),
      now,
    );
  }

  /** The second message of NTLM is answered with the third. */
  #answer(
    { method, handshake }: Extract<Leg, { handshake: NtlmHandshake }>,
    challenges: readonly Challenge[],
    binding: Binding,
    now: number,
  ): LogonStep {
    const scheme = method === "NTLM" ? "ntlm" : "negotiate";
    const token = challenges.find((challenge) => challenge.scheme === scheme)?.token;
    let problem = "the server did not go on with it";
    if (token !== undefined) {
      try {
        const last = handshake.answer(Buffer.from(token, "base64"), binding);
        this.#leg = { method, handshake, isLast: true };
        return { type: "send", authorization: header(scheme, last), stakes: "password", isBound: true };
      } catch (err) {
        problem = describeError(err);
      }
    }
    this.#problems.push({ method, problem });
    return this.#next(challenges, now);
  }

  /** The best method that is offered, may be used, and was not tried yet. */
  #next(challenges: readonly Challenge[], now: number): LogonStep {
    const offers = new Set([...challenges.map(({ scheme }) => scheme), ...this.#offered]);
    const { credentials, standing, options } = this.#logon;
    const isUntried = (method: ClientMethod): boolean => !this.#problems.some((p) => p.method === method);
    if (options.useTickets && isUntried("Kerberos")) {
      if (offers.has("negotiate")) return { type: "get-ticket" };
      this.#problems.push({ method: "Kerberos", problem: "the server does not offer Negotiate" });
    }
    if (credentials === undefined) return this.#giveUp();
    if (!standing.mayTry(now)) return this.#giveUpRefused();
    for (const method of ["NTLM", "NTLM in Negotiate"] as const) {
      const scheme = method === "NTLM" ? "ntlm" : "negotiate";
      if (!options.mayNtlm || !isUntried(method) || !offers.has(scheme)) continue;
      const handshake = new NtlmHandshake(credentials, method === "NTLM in Negotiate");
      this.#leg = { method, handshake, isLast: false };
      return {
        type: "send",
        authorization: header(scheme, handshake.first()),
        stakes: "password",
        isBound: false,
      };
    }
    if (!isUntried("Basic") || !offers.has("basic")) return this.#giveUp();
    if (options.passwordUse !== "basic")
      return this.#giveUp("Basic", "switched off by --ntlm or --negotiate");
    if (!options.mayBasic)
      return this.#giveUp("Basic", "only over https: the password would travel readable");
    return this.#sendBasic(credentials);
  }

  #sendBasic(credentials: PasswordCredentials): LogonStep {
    this.#leg = { method: "Basic" };
    const authorization = `Basic ${basicToken(credentials)}`;
    return { type: "send", authorization, stakes: "password", isBound: false };
  }

  /** No other method gets the password: each try counts towards the lockout of the account. */
  #refused(method: ClientMethod, now: number): LogonStep {
    this.#logon.standing.refused(now);
    return this.#giveUp(
      method,
      method === "Basic"
        ? "the server refused user or password"
        : "the server refused user or password, or (extended protection) something terminates TLS on the way",
    );
  }

  #giveUpRefused(): LogonStep {
    return this.#giveUp(
      "password",
      "refused before, and not tried again yet, so that the account does not get locked",
    );
  }

  #giveUp(method?: MethodProblem["method"], problem?: string): LogonStep {
    if (method !== undefined && problem !== undefined) this.#problems.push({ method, problem });
    return { type: "give-up", offered: this.#offered, problems: this.#problems };
  }
}

function header(scheme: "ntlm" | "negotiate", token: Uint8Array): string {
  return `${scheme === "ntlm" ? "NTLM" : "Negotiate"} ${Buffer.from(token).toString("base64")}`;
}
