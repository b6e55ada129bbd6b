import { AppError, type Clock } from "@ckmesh/core";
import type { LaneRequest } from "./lane.js";
import { type OriginAnswer, readAnswer } from "./origin-answer.js";
import { errorOfFailure } from "./origin-error.js";
import type { OriginLanes } from "./origin-lanes.js";
import { type OriginLinkOptions, openOriginLink } from "./origin-link.js";

/** A request of any method; `path` is on the origin's host. */
export interface OriginCall extends Pick<LaneRequest, "body" | "opener" | "headTimeoutMs"> {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** For messages; default: method and path. */
  readonly what?: string;
  /** Most of the answer that is read, default 64 KiB. */
  readonly maxAnswerBytes?: number;
  readonly signal?: AbortSignal;
}

const MAX_ANSWER_BYTES = 64 * 1024;
/** The body of an answer takes no longer, ms: a server that sends a byte now and then would hold a call for ever. */
const ANSWER_MS = 120_000;

/**
 * Requests to an origin that change something there, or whose answers the caller looks at: one at a time, over one
 * connection, with the logon of `OriginHttp`. Retrying is the caller's.
 */
export class OriginCalls {
  /** Path of the virtual directory, without a slash at its end. */
  readonly basePath: string;
  /** The origin's name or address, as its URL has it. */
  readonly host: string;
  readonly #lanes: OriginLanes;
  readonly #clock: Clock;

  /** @throws {AppError} ERR_CONFIG_INVALID when the URL, the credentials, the certificate or the proxy cannot be used */
  constructor(options: OriginLinkOptions) {
    const { lanes, basePath, host } = openOriginLink({ ...options, maxConnections: 1 }, "call");
    this.#lanes = lanes;
    this.#clock = options.clock;
    this.basePath = basePath;
    this.host = host;
  }

  /**
   * The answer may come before all of the body was sent.
   * @throws {AppError} ERR_AUTH_REQUIRED when the logon failed, with `details.problems`; ERR_ORIGIN_UNREACHABLE when
   *   the connection fails or breaks, ERR_ORIGIN_INVALID, ERR_TIMEOUT without progress, ERR_ABORTED; what the body's
   *   source throws
   */
  async send(call: OriginCall): Promise<OriginAnswer> {
    const { method, path, headers = {}, signal, maxAnswerBytes = MAX_ANSWER_BYTES, ...more } = call;
    const what = call.what ?? `${method} ${path.replace(/\?.*$/, "")}`;
    try {
      const request = { ...more, path, headers, what, signal };
      const { answer, release } = await this.#lanes.send(method === "GET" ? request : { ...request, method });
      const late = new AppError("ERR_TIMEOUT", `the origin did not send all of its answer: ${what}`);
      const cancel = this.#clock.after(ANSWER_MS, () => answer.body.destroy(late));
      try {
        return await readAnswer(answer, maxAnswerBytes, what);
      } finally {
        cancel();
        release();
      }
    } catch (err) {
      throw errorOfFailure(err, what, signal);
    }
  }

  /** Aborts what is under way. */
  async close(): Promise<void> {
    await this.#lanes.close();
  }
}
