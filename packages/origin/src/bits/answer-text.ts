import { STATUS_CODES, validateHeaderName, validateHeaderValue } from "node:http";
import type { BitsAnswer } from "@ckmesh/bits";

export interface AnswerFrame {
  /** Unix ms. */
  readonly wall: number;
  readonly isLast: boolean;
}

/** The bytes of an answer as text. It has no body ([MC-BUP] 2.2.3). */
export function answerText(answer: BitsAnswer, { wall, isLast }: AnswerFrame): string {
  const lines = [`HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ""}`];
  for (const [name, values] of Object.entries(answer.headers)) {
    validateHeaderName(name);
    for (const value of typeof values === "string" ? [values] : values) {
      validateHeaderValue(name, value);
      lines.push(`${name}: ${value}`);
    }
  }
  lines.push(`Date: ${new Date(wall).toUTCString()}`, "Content-Length: 0");
  if (isLast) lines.push("Connection: close");
  return `${lines.join("\r\n")}\r\n\r\n`;
}
