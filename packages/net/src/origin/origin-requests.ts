import { AppError, type Clock, type Logger } from "@ckmesh/core";
import { isSiteLabel } from "@ckmesh/wire";
import { ConnectionGate } from "../connection-gate.js";
import type { RawAnswer } from "./lane.js";
import { ConsumerFailure, type OriginBody, readErrorPage } from "./origin-body.js";
import { type AnswerHead, asksForCertificate, errorOfAnswer, errorOfFailure } from "./origin-error.js";
import type { OriginLanes } from "./origin-lanes.js";

export interface OriginRequestsOptions {
  readonly lanes: OriginLanes;
  readonly maxRequests: number;
  readonly site: (() => string | undefined) | undefined;
  readonly answerTimeoutMs: number;
  readonly hasCertificate: boolean;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** What is done with an answer; it must read or drop the body. */
export type Use<T> = (head: AnswerHead, body: OriginBody, what: string) => Promise<T>;

/** GETs to the origin, so many at a time; after a failure one, until data flows again. Failures come out as ours. */
export class OriginRequests {
  readonly #options: OriginRequestsOptions;
  readonly #gate: ConnectionGate;

  constructor(options: OriginRequestsOptions) {
    this.#options = options;
    this.#gate = new ConnectionGate(options.maxRequests);
  }

  /** Data arrives. */
  flowing(): void {
    this.#gate.flowing();
  }

  async close(): Promise<void> {
    this.#gate.close();
    await this.#options.lanes.close();
  }

  /** As `get`, with an end: an origin that sends a byte now and then would hold a poll for ever. */
  async getSmall<T>(
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
    use: Use<T>,
  ): Promise<T> {
    const { clock, answerTimeoutMs } = this.#options;
    return this.get(path, headers, signal, async (head, body, what) => {
      const late = new AppError("ERR_TIMEOUT", `the origin did not send all of ${what} in time`);
      const cancel = clock.after(answerTimeoutMs, () => body.destroy(late));
      try {
        return await use(head, body, what);
      } finally {
        cancel();
      }
    });
  }

  /** One GET under the gate; `use` gets answers of 200, 206 and 304 and must read or drop the body. */
  async get<T>(
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
    use: Use<T>,
  ): Promise<T> {
    const what = path.replace(/\?.*$/, "");
    await this.#gate.enter(signal);
    let body: OriginBody | undefined;
    let release: (() => void) | undefined;
    try {
      const lane = await this.#options.lanes.send({
        path,
        headers: { ...siteHeader(this.#options.site?.()), ...headers },
        what,
        signal,
      });
      release = lane.release;
      const { answer } = lane;
      body = answer.body;
      // Errors after the last read (an aborted rest) have no listener otherwise.
      body.on("error", () => {});
      const head = headOf(answer);
      if (head.status !== 200 && head.status !== 206 && head.status !== 304) {
        throw await this.#refusal(head, body, what);
      }
      const encoding = head.header("content-encoding");
      if (encoding !== undefined && encoding !== "identity") {
        throw new AppError(
          "ERR_ORIGIN_INVALID",
          `the origin sends ${what} with content encoding ${encoding.slice(0, 40)}; switch that off for images`,
        );
      }
      const result = await use(head, body, what);
      this.#gate.flowing();
      return result;
    } catch (err) {
      body?.destroy();
      if (err instanceof ConsumerFailure) throw err.cause; // not the origin's fault
      const failure = errorOfFailure(err, what, signal);
      if (isTrouble(failure)) this.#gate.trouble();
      this.#options.logger.debug({ path: what, code: failure.code }, "origin request failed");
      throw failure;
    } finally {
      release?.();
      this.#gate.leave();
    }
  }

  /** The error for an answer that is none of 200, 206 and 304. Its page is read, so that the connection stays. */
  async #refusal(head: AnswerHead, body: OriginBody, what: string): Promise<AppError> {
    const { clock } = this.#options;
    const page = await readErrorPage(body, clock);
    if (head.status !== 403 || !asksForCertificate(page)) return errorOfAnswer(head, what, clock.wall());
    const why = this.#options.hasCertificate
      ? "the server asks for the client certificate only after the handshake, which TLS clients of today do not answer: have it ask for it at the start (IIS: for the whole binding, not for a folder)"
      : "the server wants a client certificate: pass --cert and --key";
    return new AppError("ERR_AUTH_FORBIDDEN", `the origin forbids ${what} (403.7): ${why}`, {
      details: { status: 403, substatus: 7 },
    });
  }
}

function headOf(answer: RawAnswer): AnswerHead {
  return {
    status: answer.statusCode,
    header(name) {
      const value = answer.headers[name];
      return typeof value === "string" ? value : value?.[0];
    },
  };
}

/** Nothing for what is no site label: the origin would not take it. */
function siteHeader(site: string | undefined): Readonly<Record<string, string>> {
  return site !== undefined && isSiteLabel(site) ? { "x-ckmesh-site": encodeURIComponent(site) } : {};
}

function isTrouble(err: AppError): boolean {
  return (
    err.code === "ERR_ORIGIN_UNREACHABLE" ||
    err.code === "ERR_ORIGIN_INVALID" ||
    err.code === "ERR_TIMEOUT" ||
    err.code === "ERR_RATE_LIMITED"
  );
}
