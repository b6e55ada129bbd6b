import { offeredSchemes } from "@ckmesh/auth";
import { AppError } from "@ckmesh/core";
import type { RawAnswer } from "./lane.js";

/** An answer as it came, whatever its status. */
export interface OriginAnswer {
  readonly status: number;
  /** All of its header, names in lower case. */
  readonly fields: RawAnswer["headers"];
  /** All values of a header, by lower-case name. */
  headers(name: string): readonly string[];
  /** Ways to log on that it offers, lower case. */
  readonly offered: readonly string[];
  /** The beginning of the body. */
  readonly bytes: Uint8Array;
}

/**
 * Reads at most `maxBytes` of the body; with more than that the connection is given up.
 * @throws what breaks the body off
 */
export async function readAnswer(answer: RawAnswer, maxBytes: number, what: string): Promise<OriginAnswer> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of answer.body) {
    if (!(part instanceof Uint8Array)) throw new AppError("ERR_ORIGIN_INVALID", `no bytes of ${what}`);
    parts.push(part);
    length += part.length;
    if (length > maxBytes) break;
  }
  const valuesOf = (name: string): readonly string[] => {
    const value = answer.headers[name];
    return value === undefined ? [] : typeof value === "string" ? [value] : value;
  };
  return {
    status: answer.statusCode,
    fields: answer.headers,
    headers: valuesOf,
    offered: offeredSchemes(valuesOf("www-authenticate")),
    bytes: Buffer.concat(parts).subarray(0, maxBytes),
  };
}
