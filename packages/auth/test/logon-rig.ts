import { createHash, scryptSync } from "node:crypto";
import {
  Authenticator,
  type AuthOutcome,
  answerNtlmChallenge,
  BasicVerifier,
  basicScheme,
  type ConnectionAuth,
  type ConnectionFacts,
  type ExtendedProtection,
  isNtlmAcceptance,
  type KerberosJudge,
  LocalJudge,
  Lockout,
  makeNtlmNegotiate,
  NtlmAcceptor,
  type NtlmAnswer,
  type NtlmAnswerOptions,
  type NtlmJudge,
  negotiateScheme,
  ntlmScheme,
  type PersistenceSwitches,
  parseAccounts,
  unwrapNtlmChallenge,
  wrapNtlmAnswer,
  wrapNtlmNegotiate,
} from "@ckmesh/auth";
import { seededRandom, toHex } from "@ckmesh/core";
import { ntHash } from "../src/ntlm/ntlm-v2.js";

/** 2026-11-26 07:30 UTC, ms since 1970: when the recorded exchanges were recorded. */
const WALL = 1_795_678_200_000;
export const PASSWORD = "pässword";

/** As the accounts file keeps it, with the least cost that it may have. */
function cheapHash(password: string): string {
  const salt = Buffer.alloc(16);
  const hash = scryptSync(password.normalize("NFC"), salt, 32, { N: 1024, r: 1, p: 1 });
  return `scrypt$1024$1$1$${salt.toString("base64")}$${hash.toString("base64")}`;
}

export interface RigOptions {
  readonly accounts?: readonly { readonly name: string; readonly password: string }[];
  readonly requireMic?: boolean;
  readonly extendedProtection?: ExtendedProtection;
  readonly kerberos?: KerberosJudge;
  readonly judge?: NtlmJudge;
  readonly lockout?: Lockout;
  readonly persistence?: Partial<PersistenceSwitches>;
  readonly withoutNtlm?: boolean;
}

/** A repeatable source of bytes. */
function randomSource(seed: number): (count: number) => Uint8Array {
  const random = seededRandom(seed);
  return (count) => Uint8Array.from({ length: count }, () => Math.floor(random.next() * 256));
}

/** All schemes of a server whose accounts are local. */
export function serverOf(options: RigOptions = {}): Authenticator {
  const accounts = (options.accounts ?? [{ name: "Alice", password: PASSWORD }]).map(
    ({ name, password }) => ({
      name,
      password: cheapHash(password),
      nt: toHex(ntHash(password)),
    }),
  );
  const randomBytes = randomSource(7);
  const local = new LocalJudge(randomBytes, parseAccounts({ accounts }));
  const lockout = options.lockout ?? new Lockout();
  const extendedProtection = options.extendedProtection ?? { tokenChecking: "Allow", spns: [] };
  const ntlm = new NtlmAcceptor({
    judge: options.judge ?? local,
    lockout,
    names: {
      netbiosHost: "IMAGES",
      netbiosDomain: "MEDV",
      dnsHost: "images.medv.test",
      dnsDomain: "medv.test",
    },
    requireMic: options.requireMic ?? false,
    extendedProtection,
    randomBytes,
    wall: () => WALL,
  });
  return new Authenticator(
    [
      negotiateScheme({
        ...(options.kerberos && { kerberos: options.kerberos }),
        ...(options.withoutNtlm !== true && { ntlm }),
        requireChannelBinding: extendedProtection.tokenChecking === "Require",
      }),
      ntlmScheme(ntlm),
      basicScheme({ verifier: new BasicVerifier(local, { lockout }), realm: "MEDV", allowOverHttp: false }),
    ],
    options.persistence,
  );
}

const BINDING = new Uint8Array(createHash("md5").update("the server's certificate").digest());

export function connectTo(server: Authenticator, facts: Partial<ConnectionFacts> = {}): ConnectionAuth {
  return server.connect({ isTls: true, address: "192.0.2.1", channelBinding: BINDING, ...facts });
}

export function ask(
  connection: ConnectionAuth,
  authorization?: string,
  more: { readonly isProxied?: boolean; readonly now?: number } = {},
): Promise<AuthOutcome> {
  return connection.authenticate({
    authorization,
    isProxied: more.isProxied ?? false,
    now: more.now ?? 0,
  });
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

/** The token of a challenge line. */
export function tokenOf(outcome: AuthOutcome): Uint8Array {
  if (outcome.type !== "continue") throw new Error(`no challenge but ${JSON.stringify(outcome)}`);
  return new Uint8Array(Buffer.from(outcome.challenge.split(" ")[1] ?? "", "base64"));
}

export type ClientOptions = Partial<NtlmAnswerOptions>;

export function answerTo(challenge: Uint8Array, options: ClientOptions = {}): NtlmAnswer {
  const answer = answerNtlmChallenge({
    negotiate: makeNtlmNegotiate(),
    challenge,
    credentials: { account: "alice", domain: "MEDV", password: PASSWORD },
    servicePrincipal: "HTTP/images.medv.test",
    channelBinding: BINDING,
    randomBytes: randomSource(11),
    wall: WALL,
    ...options,
  });
  if (answer === undefined) throw new Error("the challenge was not understood");
  return answer;
}

/** Both legs with bare NTLM messages. `alter` sees the Type 3 before it is sent. */
export async function logOnNtlm(
  connection: ConnectionAuth,
  options: ClientOptions = {},
  scheme: "NTLM" | "Negotiate" = "NTLM",
  alter: (message: Uint8Array) => Uint8Array = (message) => message,
): Promise<AuthOutcome> {
  const first = await ask(connection, `${scheme} ${base64(options.negotiate ?? makeNtlmNegotiate())}`);
  const { message } = answerTo(tokenOf(first), options);
  return ask(connection, `${scheme} ${base64(alter(message))}`);
}

/** Both legs within SPNEGO; throws when the client would not trust the server's last word. */
export async function logOnSpnego(
  connection: ConnectionAuth,
  options: ClientOptions = {},
): Promise<AuthOutcome> {
  const first = await ask(connection, `Negotiate ${base64(wrapNtlmNegotiate(makeNtlmNegotiate()))}`);
  const challenge = unwrapNtlmChallenge(tokenOf(first));
  if (challenge === undefined) throw new Error("no Type 2 in the server's token");
  const answer = answerTo(challenge, options);
  const outcome = await ask(connection, `Negotiate ${base64(wrapNtlmAnswer(answer))}`);
  if (outcome.type === "user") {
    const reply = Buffer.from(outcome.reply?.split(" ")[1] ?? "", "base64");
    if (!isNtlmAcceptance(reply, answer)) throw new Error("the server's last token is not trusted");
  }
  return outcome;
}
