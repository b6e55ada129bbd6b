import { randomBytes, X509Certificate } from "node:crypto";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Socket } from "node:net";
import {
  Accounts,
  Authenticator,
  type AuthScheme,
  BasicVerifier,
  basicScheme,
  type ConnectionAuth,
  type ExtendedProtection,
  type KerberosJudge,
  LocalJudge,
  Lockout,
  makeStoredAccount,
  NtlmAcceptor,
  negotiateScheme,
  ntlmScheme,
  type PersistenceSwitches,
  parseAccounts,
  tlsServerEndPoint,
} from "@ckmesh/auth";
import { type Handler, serveFile, start } from "./origin-fixtures.js";
import { testCertificate } from "./test-certificate.js";

export interface LogonServerOptions {
  readonly schemes: readonly ("negotiate" | "ntlm" | "basic")[];
  readonly isTls?: boolean;
  readonly kerberos?: KerberosJudge;
  /** `Negotiate` takes tickets only. */
  readonly noNtlmInNegotiate?: boolean;
  readonly protection?: ExtendedProtection;
  readonly persistence?: Partial<PersistenceSwitches>;
  readonly requireMic?: boolean;
  /** Looks at each request first; true: it has answered. */
  readonly before?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Answers those who are logged on; default: with a file. */
  readonly serve?: Handler;
}

export const USER = "branch7";
export const PASSWORD = "Grüße aus Köln";

/** A server with the machine that the origin uses, and a record of what clients did. */
export class LogonServer {
  /** Authorization schemes with the type of the NTLM message, in order; `-` for a request without. */
  readonly seen: string[] = [];
  readonly sockets = new Set<Socket>();
  readonly users: string[] = [];
  refusals = 0;
  url = "";
  readonly #auths = new WeakMap<Socket, ConnectionAuth>();
  readonly #authenticator: Authenticator;
  readonly #options: LogonServerOptions;
  readonly judge: LocalJudge;

  private constructor(options: LogonServerOptions) {
    this.#options = options;
    const lockout = new Lockout();
    this.judge = new LocalJudge(randomBytes);
    const acceptor = new NtlmAcceptor({
      judge: this.judge,
      lockout,
      names: { netbiosHost: "IMAGES", dnsHost: "localhost" },
      requireMic: options.requireMic ?? true,
      extendedProtection: options.protection ?? { tokenChecking: "Allow", spns: [] },
      randomBytes,
      wall: () => Date.now(),
    });
    const made: Record<LogonServerOptions["schemes"][number], AuthScheme> = {
      negotiate: negotiateScheme({
        ...(options.kerberos !== undefined && { kerberos: options.kerberos }),
        ...(options.noNtlmInNegotiate !== true && { ntlm: acceptor }),
        requireChannelBinding: false,
      }),
      ntlm: ntlmScheme(acceptor),
      basic: basicScheme({
        verifier: new BasicVerifier(this.judge, { lockout }),
        realm: "MEDV",
        allowOverHttp: true,
      }),
    };
    this.#authenticator = new Authenticator(
      options.schemes.map((name) => made[name]),
      options.persistence,
    );
  }

  static async start(options: LogonServerOptions): Promise<LogonServer> {
    const server = new LogonServer(options);
    await server.setPassword(PASSWORD);
    const listener: RequestListener = (request, response) => {
      server
        .#answer(request, response)
        .catch((err: unknown) => response.destroy(err instanceof Error ? err : new Error(String(err))));
    };
    const limits = { maxHeaderSize: 65_536 };
    server.url =
      options.isTls === true
        ? await start(createHttpsServer({ ...testCertificate, ...limits }, listener), "https")
        : await start(createServer(limits, listener));
    return server;
  }

  /** The only account's. */
  async setPassword(password: string): Promise<void> {
    const accounts = parseAccounts({ accounts: [await makeStoredAccount(USER, password, true)] });
    this.judge.replaceAccounts(accounts);
  }

  noAccounts(): void {
    this.judge.replaceAccounts(new Accounts([]));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    this.sockets.add(socket);
    this.seen.push(describe(request.headers.authorization));
    if (this.#options.before?.(request, response) === true) return;
    let auth = this.#auths.get(socket);
    if (auth === undefined) {
      auth = this.#authenticator.connect({
        isTls: this.#options.isTls === true,
        address: "127.0.0.1",
        ...(this.#options.isTls === true && {
          channelBinding: tlsServerEndPoint(new X509Certificate(testCertificate.cert).raw),
        }),
      });
      this.#auths.set(socket, auth);
    }
    const outcome = await auth.authenticate({
      authorization: request.headers.authorization,
      isProxied: false,
      now: performance.now(),
    });
    switch (outcome.type) {
      case "user":
        this.users.push(outcome.identity.name);
        (this.#options.serve ?? serveFile)(request, response);
        return;
      case "continue":
        response.writeHead(401, { "www-authenticate": outcome.challenge }).end();
        return;
      case "refused":
        this.refusals += 1;
        response.writeHead(401, { "www-authenticate": [...auth.challenges()] }).end("refused");
        return;
      case "anonymous":
        response.writeHead(401, { "www-authenticate": [...auth.challenges()] }).end("log on");
    }
  }
}

function describe(authorization: string | undefined): string {
  if (authorization === undefined) return "-";
  const [scheme = "", token = ""] = authorization.split(" ");
  const bytes = Buffer.from(token, "base64");
  const at = bytes.indexOf("NTLMSSP\0", 0, "latin1");
  return at < 0 ? scheme : `${scheme} ${bytes.readUInt32LE(at + 8)}`;
}
