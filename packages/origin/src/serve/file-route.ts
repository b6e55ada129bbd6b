import type { IncomingMessage } from "node:http";
import type { Identity } from "@ckmesh/auth";
import { isAppError, type Logger } from "@ckmesh/core";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Visitor } from "../access/access.js";
import type { Catalogue, FoundFile } from "../catalogue/catalogue.js";
import { answerControl, type ControlFiles, findControl } from "../control/control-answer.js";
import { RequestError, SUB_STATUS } from "../listener/http-failure.js";
import { answerFile, type FileAnswer } from "./file-answer.js";
import { listingPage } from "./listing-page.js";
import type { OpenFiles } from "./open-files.js";
import type { RequestPlaces } from "./request-place.js";
import { sendFile } from "./send-file.js";
import { parseServedPath } from "./served-path.js";
import type { TransferGate } from "./transfer-gate.js";

export interface FileRouteOptions {
  readonly catalogue: Catalogue;
  readonly controls: ControlFiles;
  readonly openFiles: OpenFiles;
  readonly places: RequestPlaces;
  readonly transfers: TransferGate;
  readonly logger: Logger;
  readonly directoryName: string;
  readonly directoryBrowse: boolean;
  readonly publicCache: boolean;
  /** A file that somebody uploaded and that is not published yet: for them alone. @param key of `fileKey` */
  readonly findStaged: (key: string, user: Identity | undefined) => Promise<FoundFile | undefined>;
  readonly visitorOf: (request: IncomingMessage) => Visitor;
}

/** The head of an index and its first section fit: what tells of a new version never waits for those who fetch one. */
const SMALL_BODY_BYTES = 32 * 1024;

/** Answers GET and HEAD of everything that is no API: the virtual directory and 404 for the rest. */
export function createFileRoute(options: FileRouteOptions) {
  return async (
    request: FastifyRequest,
    reply: FastifyReply,
    target: string,
  ): Promise<string | undefined> => {
    const path = parseServedPath(target, options.directoryName);
    if (path.type === "directory" && options.directoryBrowse) return listing(reply, options);
    const control = path.type === "file" ? findControl(options.controls, path.key) : undefined;
    if (control !== undefined) {
      answerControl(request, reply, control, options);
      return undefined;
    }
    const found =
      path.type === "file"
        ? ((await options.findStaged(path.key, options.visitorOf(request.raw).identity)) ??
          options.catalogue.find(path.key))
        : undefined;
    if (found === undefined) throw notFound(target);
    const answer = answerFile(found, request.headers, options);
    const isHead = request.method === "HEAD";
    if (answer.body === undefined) {
      sendHead(reply, answer);
      return undefined;
    }
    const isSmall = isHead || answer.body.length <= SMALL_BODY_BYTES;
    const leave = isSmall
      ? noPlace
      : await options.transfers.enter(options.places.of(request.raw), reply.raw);
    if (leave === undefined) {
      reply.hijack(); // Nobody is there to be answered.
      return undefined;
    }
    try {
      const file = await options.openFiles.acquire(found.file);
      try {
        if (isHead) sendHead(reply, answer);
        else await sendBody(reply, answer, file.fd, options.logger);
      } finally {
        file.release();
      }
    } finally {
      leave();
    }
    return undefined;
  };
}

function noPlace(): void {}

function sendHead(reply: FastifyReply, answer: FileAnswer): void {
  reply.hijack();
  reply.raw.writeHead(answer.status, answer.headers).end();
}

/** Once the head is out, a failure can only end the connection: the client sees a short body and resumes. */
async function sendBody(reply: FastifyReply, answer: FileAnswer, fd: number, logger: Logger): Promise<void> {
  reply.hijack();
  const response = reply.raw;
  const { body } = answer;
  try {
    response.writeHead(answer.status, answer.headers);
    switch (body?.type) {
      case "full":
        await sendFile(response, fd, { first: 0, last: body.length - 1 });
        break;
      case "single":
        await sendFile(response, fd, body.range);
        break;
      case "multiple":
        for (const part of body.parts) {
          response.write(part.heading);
          await sendFile(response, fd, part.range); // oxlint-disable-line no-await-in-loop -- in order on one connection
        }
        response.write(body.closing);
        break;
      case undefined:
        break;
    }
    response.end();
  } catch (err) {
    if (isAppError(err)) logger.error({ err }, "served file cannot be read");
    else logger.debug({ err }, "client went away");
    response.destroy();
  }
}

function listing(reply: FastifyReply, options: FileRouteOptions): string {
  reply
    .header("Content-Type", "text/html; charset=utf-8")
    .header("Cache-Control", "private, no-cache")
    .header("Content-Security-Policy", "default-src 'none'");
  return listingPage(options.directoryName, options.catalogue);
}

/** 404.3, as IIS logs it, is for names that would not be served whatever the folder holds. */
function notFound(target: string): RequestError {
  const isServedKind = /\.(?:ckm|index)(?:$|\?)/i.test(target);
  return new RequestError("ERR_IMAGE_NOT_FOUND", "there is no such image", {
    subStatus: isServedKind ? 0 : SUB_STATUS.notServed,
  });
}

/** True for what a request can do nothing about: it is not worth a line in the log. */
export function isExpectedFailure(err: unknown): boolean {
  return (
    err instanceof RequestError ||
    isAppError(err, "ERR_IMAGE_NOT_FOUND") ||
    isAppError(err, "ERR_RATE_LIMITED")
  );
}
