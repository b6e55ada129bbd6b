import { createReadStream, createWriteStream } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import { pipeline } from "node:stream/promises";
import {
  applicationRefused,
  applicationTimedOut,
  applicationUnreachable,
  BitsFault,
  invalidPacket,
  MAX_REPLY_URL_LENGTH,
} from "@ckmesh/bits";
import { fileErrorCode } from "@ckmesh/store";
import type { NotificationSettings } from "./bits-settings.js";

/** The whole file of a session, of which a program is told. */
export interface UploadedFile {
  /** Absolute, as the client named it. */
  readonly url: URL;
  readonly dataPath: string;
  readonly bytes: number;
  /** Where the program, or we, put its answer. */
  readonly replyPath: string;
}

/** What the program wants. */
export interface ProgramAnswer {
  /** The file is to be what its URL says; otherwise the program has what it wanted. */
  readonly isPublished: boolean;
  readonly reply:
    | { readonly type: "none" }
    /** It lies at `replyPath`. */
    | { readonly type: "file" }
    | { readonly type: "url"; readonly url: string };
}

/** Less than the five minutes that IIS gives the program, since the client gives us no more either. */
const ANSWER_MS = 270_000;
/** What would make a client log on, halve its fragments or look for its offset: it was not meant for it. */
const MISLEADING: ReadonlySet<number> = new Set([401, 407, 413, 416]);

/**
 * Tells a program of an uploaded file, as BITS on IIS does (Microsoft Learn, "Notification Protocol for Server
 * Applications"; [MC-BUP] 2.2.12, 2.2.13). May come more than once for a file.
 * @throws {BitsFault} with the context of the application when it does not answer with success
 */
export async function notifyProgram(
  { type, url: program }: NotificationSettings,
  file: UploadedFile,
  answerMs = ANSWER_MS,
): Promise<ProgramAnswer> {
  const url = new URL(program);
  // What the client asked for goes on to the program, after what the setting says.
  url.search = [program.search.slice(1), file.url.search.slice(1)].filter((part) => part !== "").join("&");
  const headers =
    type === "by-value"
      ? { "Content-Length": file.bytes }
      : {
          "Content-Length": 0,
          "BITS-Request-DataFile-Name": file.dataPath,
          "BITS-Response-DataFile-Name": file.replyPath,
        };
  const timeout = AbortSignal.timeout(answerMs);
  // What an earlier try left is no answer to this one.
  await rm(file.replyPath, { force: true });
  try {
    const answer = await post(
      url,
      { "BITS-Original-Request-URL": file.url.href, ...headers },
      type === "by-value" ? file.dataPath : undefined,
      timeout,
    );
    const { statusCode = 0 } = answer;
    if (statusCode < 200 || statusCode > 299) throw refusedWith(statusCode);
    const isPublished = answer.headers["bits-copy-file-to-destination"] !== undefined;
    return { isPublished, reply: await takeReply(type, answer, file, timeout) };
  } catch (err) {
    if (err instanceof BitsFault) throw err;
    if (timeout.aborted) throw applicationTimedOut();
    throw applicationUnreachable(err);
  }
}

function post(
  url: URL,
  headers: OutgoingHttpHeaders,
  bodyPath: string | undefined,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const send = url.protocol === "https:" ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = send(url, { method: "POST", headers, agent: false, signal });
    request.on("error", reject);
    request.on("response", (answer) => {
      // A program may answer before it has read everything.
      answer.on("error", reject);
      resolve(answer);
    });
    if (bodyPath === undefined) request.end();
    else pipeline(createReadStream(bodyPath), request).catch(reject);
  });
}

function refusedWith(status: number): BitsFault {
  const isFailure = status >= 300 && status <= 599 && !MISLEADING.has(status);
  return applicationRefused(isFailure ? status : 400);
}

async function takeReply(
  type: NotificationSettings["type"],
  answer: IncomingMessage,
  { replyPath }: UploadedFile,
  signal: AbortSignal,
): Promise<ProgramAnswer["reply"]> {
  const url = answer.headers["bits-static-response-url"];
  if (typeof url === "string" && url !== "") {
    answer.destroy();
    return { type: "url", url: checkReplyUrl(url) };
  }
  if (type === "by-value") await pipeline(answer, createWriteStream(replyPath, { mode: 0o600 }), { signal });
  else answer.destroy();
  return (await sizeOf(replyPath)) > 0 ? { type: "file" } : { type: "none" };
}

function checkReplyUrl(url: string): string {
  const isUsable = url.length <= MAX_REPLY_URL_LENGTH && /^https?:\/\/[\x21-\x7e]+$/i.test(url);
  if (!isUsable)
    throw invalidPacket("the program's BITS-Static-Response-URL is no absolute URL, or too long");
  return url;
}

/** 0 for a file that is not there. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT") return 0;
    throw err;
  }
}
