import type { FastifyReply, FastifyRequest } from "fastify";
import { answerFile } from "../serve/file-answer.js";
import type { ServedControl } from "./served-control.js";

/** Tells clients which versions the origin holds: `held=3,4`. Only a delay, so it needs no signature. */
const ROLLOUT_HEADER = "Ckmesh-Rollout";

/** What the file route asks for control records. */
export interface ControlFiles {
  readonly of: (image: string) => ServedControl | undefined;
  readonly heldOf: (image: string) => readonly number[];
}

const SUFFIX = ".control.index";

/** @param key of `fileKey` of the file name */
export function findControl(controls: ControlFiles, key: string): ServedControl | undefined {
  return key.endsWith(SUFFIX) ? controls.of(key.slice(0, -SUFFIX.length)) : undefined;
}

/**
 * Answers GET and HEAD of a control record, conditions and ranges included, like a file.
 * @throws {RequestError} ERR_PRECONDITION_FAILED, ERR_RANGE_UNSATISFIABLE
 */
export function answerControl(
  request: FastifyRequest,
  reply: FastifyReply,
  control: ServedControl,
  options: { readonly controls: ControlFiles; readonly publicCache: boolean },
): void {
  const { bytes, etag, lastModified, fileName, signed } = control;
  const file = { path: "", size: bytes.length, mtimeMs: 0, ino: 0, fileName, etag, lastModified };
  const answer = answerFile({ file, isAlias: true }, request.headers, options);
  const held = options.controls.heldOf(signed.record.name);
  const rollout = held.length === 0 ? {} : { [ROLLOUT_HEADER]: `held=${held.join(",")}` };
  reply.hijack();
  const response = reply.raw.writeHead(answer.status, { ...answer.headers, ...rollout });
  const { body } = answer;
  if (request.method !== "HEAD") {
    switch (body?.type) {
      case "full":
        response.write(bytes);
        break;
      case "single":
        response.write(bytes.subarray(body.range.first, body.range.last + 1));
        break;
      case "multiple":
        for (const { heading, range } of body.parts) {
          response.write(heading);
          response.write(bytes.subarray(range.first, range.last + 1));
        }
        response.write(body.closing);
        break;
      case undefined:
        break;
    }
  }
  response.end();
}
