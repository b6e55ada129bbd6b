import { AppError } from "@ckmesh/core";
import { PasswordStanding } from "./password-standing.js";

export interface PasswordCredentials {
  /** `user`, `DOMAIN\user` or `user@domain`. */
  readonly user: string;
  readonly password: string;
}

/** How a password gets to the server. */
type PasswordUse =
  /** Basic at once, as long as nothing says that the server does not take it; NTLM where it offers no Basic. */
  | "basic"
  /** NTLM only: the password never leaves this machine. */
  | "ntlm";

export interface ClientLogonOptions {
  readonly credentials?: PasswordCredentials;
  readonly passwordUse: PasswordUse;
  /** Tickets of this machine's Kerberos cache may be used. */
  readonly useTickets: boolean;
  /** The connection is private, or somebody allowed passwords in the open. */
  readonly mayBasic: boolean;
  /** The connection is this client's own: no plain proxy shares it with others. */
  readonly mayNtlm: boolean;
}

/** What all connections to one server share: the credentials, and what became of them. */
export class ClientLogon {
  readonly options: Omit<ClientLogonOptions, "credentials">;
  readonly standing = new PasswordStanding();
  #credentials: PasswordCredentials | undefined;
  #takesBasic = true;
  #needsTicketEach = false;

  /** @throws {AppError} ERR_CONFIG_INVALID when Basic is wanted and cannot carry them */
  constructor({ credentials, ...options }: ClientLogonOptions) {
    this.options = options;
    this.#credentials = credentials;
    if (credentials !== undefined && options.passwordUse === "basic") basicToken(credentials);
  }

  get credentials(): PasswordCredentials | undefined {
    return this.#credentials;
  }

  /** Basic is sent without being asked for: the server was not seen to offer something else instead. */
  get isBasicFirst(): boolean {
    const { passwordUse, mayBasic } = this.options;
    return this.#credentials !== undefined && passwordUse === "basic" && mayBasic && this.#takesBasic;
  }

  /** A ticket is sent with each request: the server was seen to forget those of a connection. */
  get needsTicketEach(): boolean {
    return this.#needsTicketEach;
  }

  /** A connection on which a ticket was accepted asked again (IIS without `authPersistNonNTLM`). */
  forgotTicket(): void {
    this.#needsTicketEach = this.options.useTickets;
  }

  /** The server refused without offering Basic. */
  offersNoBasic(): void {
    this.#takesBasic = false;
  }

  /** Another password lifts a standing refusal. */
  renew(credentials: PasswordCredentials): void {
    const { user, password } = this.#credentials ?? {};
    if (user === credentials.user && password === credentials.password) return;
    this.#credentials = credentials;
    this.standing.reset();
  }
}

/**
 * The token of `Authorization: Basic` (RFC 7617), UTF-8.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function basicToken({ user, password }: PasswordCredentials): string {
  // RFC 7617 §2: a user name cannot contain a colon; control characters cannot be sent.
  if (user.includes(":") || CONTROL.test(user) || CONTROL.test(password))
    throw new AppError("ERR_CONFIG_INVALID", "user or password contains a character that Basic cannot carry");
  return Buffer.from(`${user}:${password}`, "utf8").toString("base64");
}

const CONTROL = /\p{Cc}/u;
