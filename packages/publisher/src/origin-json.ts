import { ERROR_CODES, type ErrorCode } from "@ckmesh/core";
import type { OriginAnswer } from "@ckmesh/net";

/** The body as JSON, as untrusted as ever; undefined when it is none, or was cut off. */
export function parseAnswer({ bytes }: OriginAnswer): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    return undefined;
  }
}

/** The code of an error that an origin of ours answers with; undefined from others. */
export function answeredCode(answer: OriginAnswer): ErrorCode | undefined {
  const value = parseAnswer(answer);
  if (typeof value !== "object" || value === null || !("code" in value)) return undefined;
  return ERROR_CODES.find((code) => code === value.code);
}
