import { TLSSocket } from "node:tls";
import { type OriginAnswer, readAnswer } from "./origin-answer.js";
import { errorOfFailure } from "./origin-error.js";
import type { OriginLanes } from "./origin-lanes.js";
import { type OriginLinkOptions, openOriginLink, openSockets } from "./origin-link.js";
import { parseOriginUrl } from "./origin-url.js";

/** Of a body. */
const MAX_BYTES = 64 * 1024;

/** Single requests to an origin, for those who look at answers themselves: `OriginHttp` makes errors of most. */
export class OriginProbe {
  readonly basePath: string;
  readonly #lanes: OriginLanes;

  /** @throws {AppError} as `OriginHttp` */
  constructor(options: OriginLinkOptions) {
    const { lanes, basePath } = openOriginLink({ ...options, maxConnections: 1 }, "get");
    this.#lanes = lanes;
    this.basePath = basePath;
  }

  /**
   * One at a time.
   * @throws {AppError} ERR_AUTH_REQUIRED when the logon failed, with `details.problems`; ERR_ORIGIN_UNREACHABLE,
   *   ERR_ORIGIN_INVALID, ERR_TIMEOUT, ERR_ABORTED
   */
  async get(
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<OriginAnswer> {
    try {
      const { answer, release } = await this.#lanes.send({ path, headers, what: path, signal });
      try {
        return await readAnswer(answer, MAX_BYTES, path);
      } finally {
        release();
      }
    } catch (err) {
      throw errorOfFailure(err, path, signal);
    }
  }

  async close(): Promise<void> {
    await this.#lanes.close();
  }
}

/** What TLS of an origin showed; whatever is wrong with it is told, not refused. */
export interface TlsFacts {
  readonly protocol: string;
  readonly subject: string;
  readonly issuer: string;
  /** Unix ms. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Node's code of what is wrong with the chain or the name; absent: nothing. */
  readonly problem?: string;
  /** Names that the certificate is for, as Node prints them. */
  readonly names: string;
}

/**
 * Connects to an origin, through its proxy if there is one, looks at TLS, and closes.
 * @returns undefined over plain http, where connecting was all
 * @throws {AppError} ERR_ORIGIN_UNREACHABLE, ERR_TIMEOUT; ERR_CONFIG_INVALID
 */
export async function probeConnection(options: OriginLinkOptions): Promise<TlsFacts | undefined> {
  const { sockets } = openSockets(parseOriginUrl(options.baseUrl), options, true);
  return new Promise((resolve, reject) => {
    sockets.open((err, socket) => {
      if (socket === undefined) {
        reject(errorOfFailure(err, "anything", undefined));
        return;
      }
      // A destroyed socket knows its peer no more.
      const facts = socket instanceof TLSSocket ? factsOf(socket) : undefined;
      socket.destroy();
      resolve(facts);
    });
  });
}

function factsOf(socket: TLSSocket): TlsFacts {
  const certificate = socket.getPeerX509Certificate();
  // The type says Error; it is the code.
  const problem = socket.authorized ? undefined : String(socket.authorizationError);
  return {
    protocol: socket.getProtocol() ?? "TLS",
    subject: oneLine(certificate?.subject),
    issuer: oneLine(certificate?.issuer),
    notBefore: Date.parse(certificate?.validFrom ?? ""),
    notAfter: Date.parse(certificate?.validTo ?? ""),
    names: certificate?.subjectAltName ?? "",
    ...(problem !== undefined && { problem }),
  };
}

/** Node prints one part of a name per line. */
function oneLine(name: string | undefined): string {
  return (name ?? "nobody").split("\n").join(", ").slice(0, 200);
}
