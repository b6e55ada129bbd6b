import { randomBytes } from "node:crypto";
import { AppError } from "@ckmesh/core";
import { answerNtlmChallenge, makeNtlmNegotiate, type NtlmAnswer } from "../ntlm/ntlm-client.js";
import { unwrapNtlmChallenge, wrapNtlmAnswer, wrapNtlmNegotiate } from "../spnego/spnego-client.js";
import type { PasswordCredentials } from "./client-logon.js";

/** What the last message of a handshake is bound to. */
export interface Binding {
  /** Service principal name of the server: `HTTP/host`. */
  readonly spn: string;
  /** AV 10 for the server's certificate, 16 bytes; absent without TLS. */
  readonly channelBinding?: Uint8Array;
  /** Unix time, ms: for servers whose challenge states none. */
  readonly wallMs: number;
}

/** The client's half of one NTLM handshake: bare, or inside SPNEGO as `Negotiate` carries it. */
export class NtlmHandshake {
  readonly #credentials: PasswordCredentials;
  readonly #isWrapped: boolean;
  readonly #negotiate = makeNtlmNegotiate();

  constructor(credentials: PasswordCredentials, isWrapped: boolean) {
    this.#credentials = credentials;
    this.#isWrapped = isWrapped;
  }

  /** The first token. */
  first(): Uint8Array {
    return this.#isWrapped ? wrapNtlmNegotiate(this.#negotiate) : this.#negotiate;
  }

  /**
   * The last token.
   * @throws {AppError} ERR_AUTH_REQUIRED when the server's one is no challenge of NTLMv2
   */
  answer(token: Uint8Array, { spn, channelBinding, wallMs }: Binding): Uint8Array {
    const challenge = this.#isWrapped ? unwrapNtlmChallenge(token) : token;
    const { user, password } = this.#credentials;
    const answer: NtlmAnswer | undefined =
      challenge &&
      answerNtlmChallenge({
        negotiate: this.#negotiate,
        challenge,
        // As keyboards of Windows give it, and as the accounts were made.
        credentials: { ...splitUser(user), password: password.normalize("NFC") },
        servicePrincipal: spn,
        ...(channelBinding !== undefined && { channelBinding }),
        randomBytes,
        wall: wallMs,
      });
    if (answer === undefined)
      throw new AppError(
        "ERR_AUTH_REQUIRED",
        "the server's challenge is malformed, or it wants another mechanism",
      );
    return this.#isWrapped ? wrapNtlmAnswer(answer) : answer.message;
  }
}

/** `DOMAIN\\user` in its parts; `user@domain` stays whole, as Windows sends it. */
function splitUser(user: string): { readonly account: string; readonly domain: string } {
  const slash = user.indexOf("\\");
  return { account: user.slice(slash + 1), domain: slash < 0 ? "" : user.slice(0, slash) };
}
