import { randomBytes, X509Certificate } from "node:crypto";
import { Agent as HttpAgent, request as httpRequest, type OutgoingHttpHeaders } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import {
  answerNtlmChallenge,
  makeNtlmNegotiate,
  tlsServerEndPoint,
  unwrapNtlmChallenge,
  wrapNtlmAnswer,
  wrapNtlmNegotiate,
} from "@ckmesh/auth";
import { onTestFinished } from "vitest";
import type { Answer, TestOrigin } from "../origin-fixture.js";
import { TEST_CERT } from "../tls-fixture.js";

export type WindowsScheme = "NTLM" | "Negotiate";

export interface LaneAnswer extends Answer {
  /** Names the connection that the answer came by. */
  readonly localPort: number;
  /** Every WWW-Authenticate line. */
  readonly challenges: readonly string[];
}

export interface LaneOptions {
  readonly plain?: boolean;
  /** The last TLS listener of the origin, not the first. */
  readonly last?: boolean;
  /** Headers of every request. */
  readonly headers?: OutgoingHttpHeaders;
  /** Certificate whose channel the logon is bound to; default: the server's. */
  readonly boundTo?: string | undefined;
  /** Client certificate and key. */
  readonly certificate?: { readonly cert: string; readonly key: string };
}

/** One connection to an origin, kept, on which requests go one after the other. */
export class Lane {
  readonly #base: URL;
  /** Its one connection. */
  readonly agent: HttpAgent | HttpsAgent;
  readonly #options: LaneOptions;

  constructor(origin: { readonly origin: Pick<TestOrigin["origin"], "urls"> }, options: LaneOptions = {}) {
    const bases = origin.origin.urls.map((url) => new URL(url));
    const plain = bases.find(({ protocol }) => protocol === "http:");
    const secure = bases.filter(({ protocol }) => protocol === "https:");
    const tls = secure.at(options.last === true ? -1 : 0);
    const base = options.plain === true ? plain : (tls ?? plain);
    if (base === undefined) throw new Error("no such listener");
    this.#base = base;
    this.#options = options;
    const agent = { keepAlive: true, maxSockets: 1, maxCachedSessions: 0 };
    this.agent =
      base.protocol === "https:"
        ? new HttpsAgent({ ...agent, ca: TEST_CERT, ...options.certificate })
        : new HttpAgent(agent);
    onTestFinished(() => this.agent.destroy());
  }

  /** @param body is sent with the request, if any */
  ask(path: string, headers: OutgoingHttpHeaders = {}, method = "GET", body?: Buffer): Promise<LaneAnswer> {
    const { hostname: host, port, protocol } = this.#base;
    const options = {
      host,
      port,
      path,
      method,
      headers: { ...this.#options.headers, ...headers },
      agent: this.agent,
    };
    return new Promise((resolve, reject) => {
      const request = protocol === "https:" ? httpsRequest(options) : httpRequest(options);
      request.on("error", reject);
      request.on("response", (response) => {
        const localPort = response.socket.localPort ?? 0;
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks),
            localPort,
            challenges: response.rawHeaders.filter(
              (_, i, all) => i % 2 === 1 && all[i - 1]?.toLowerCase() === "www-authenticate",
            ),
          }),
        );
      });
      request.end(body);
    });
  }

  /** Leg one: the Type 2, and what makes the Type 3 of it. */
  async begin(path: string, scheme: WindowsScheme = "NTLM", method = "GET") {
    const negotiate = makeNtlmNegotiate();
    const authorization = header(scheme, scheme === "NTLM" ? negotiate : wrapNtlmNegotiate(negotiate));
    const first = await this.ask(path, { authorization }, method);
    const token = Buffer.from(first.challenges[0]?.split(" ")[1] ?? "", "base64");
    const challenge = scheme === "NTLM" ? token : unwrapNtlmChallenge(token);
    const answer = (account: string, password: string, domain = ""): string => {
      const made = answerNtlmChallenge({
        negotiate,
        challenge: challenge ?? new Uint8Array(0),
        credentials: { account, domain, password },
        servicePrincipal: "HTTP/localhost",
        ...this.#binding(),
        randomBytes,
        wall: Date.now(),
      });
      if (made === undefined) throw new Error("the challenge cannot be answered");
      return header(scheme, scheme === "NTLM" ? made.message : wrapNtlmAnswer(made));
    };
    return { first, answer };
  }

  /** Both legs. */
  async logOn(path: string, account: string, password: string, scheme?: WindowsScheme): Promise<LaneAnswer> {
    const { answer } = await this.begin(path, scheme);
    return this.ask(path, { authorization: answer(account, password) });
  }

  #binding(): { readonly channelBinding?: Uint8Array } {
    const { boundTo = this.#base.protocol === "https:" ? TEST_CERT : undefined } = this.#options;
    if (boundTo === undefined) return {};
    return { channelBinding: tlsServerEndPoint(new X509Certificate(boundTo).raw) };
  }
}

function header(scheme: WindowsScheme, token: Uint8Array): string {
  return `${scheme} ${Buffer.from(token).toString("base64")}`;
}

/** A handshake for tests that write to a bare socket. */
export function rawHandshake(path: string) {
  const negotiate = makeNtlmNegotiate();
  return {
    first: `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: ${header("NTLM", negotiate)}\r\n\r\n`,
    /** @param text all that was received */
    answer: (text: string, account: string, password: string): string => {
      const challenge = Buffer.from(/WWW-Authenticate: NTLM (\S+)/i.exec(text)?.[1] ?? "", "base64");
      const made = answerNtlmChallenge({
        negotiate,
        challenge,
        credentials: { account, domain: "", password },
        servicePrincipal: "HTTP/localhost",
        randomBytes,
        wall: Date.now(),
      });
      if (made === undefined) throw new Error("the challenge cannot be answered");
      return header("NTLM", made.message);
    },
  };
}
