import { Fields } from "@ckmesh/core";
import type { OriginCalls } from "@ckmesh/net";
import { answeredCode, parseAnswer } from "./origin-json.js";

/** What an origin of ours has of an image. */
export interface ImageThere {
  /** Version ids, lower-case hexadecimal, by number. */
  readonly ids: ReadonlyMap<number, string>;
  /** The lowest number that is free. */
  readonly next: number;
}

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const MAX_VERSIONS = 1_000_000;
const MAX_ID_LENGTH = 64;

/**
 * @returns undefined when there is no such image
 * @throws {AppError} ERR_ORIGIN_INVALID; as `OriginCalls`
 */
export async function lookUpImage(
  calls: OriginCalls,
  name: string,
  signal: AbortSignal,
): Promise<ImageThere | undefined> {
  const answer = await calls.send({
    method: "GET",
    path: `/ckmesh/api/images/${encodeURIComponent(name)}`,
    headers: { accept: "application/json" },
    maxAnswerBytes: MAX_ANSWER_BYTES,
    signal,
  });
  if (answer.status === 404 && answeredCode(answer) === "ERR_IMAGE_NOT_FOUND") return undefined;
  const image = new Fields(parseAnswer(answer), "image", "ERR_ORIGIN_INVALID");
  const ids = image.list("versions", MAX_VERSIONS).map((item): [number, string] => {
    const version = new Fields(item, "version", "ERR_ORIGIN_INVALID");
    return [
      version.int("version", 1, Number.MAX_SAFE_INTEGER),
      version.string("id", MAX_ID_LENGTH).toLowerCase(),
    ];
  });
  return { ids: new Map(ids), next: image.int("next", 1, Number.MAX_SAFE_INTEGER) };
}
