import { STATUS_CODES, validateHeaderName, validateHeaderValue } from "node:http";
import { type BitsAnswer, ERROR_CONTEXT, HRESULT, type Hresult } from "@ckmesh/bits";

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

/** The answer to what is no packet yet, or cannot be looked at now. */
export function refusal(status: number, headers: BitsAnswer["headers"] = {}): BitsAnswer {
  return { status, headers: { "BITS-Packet-Type": "Ack", ...headers, ...errorHeaders(hresultOf(status)) } };
}

function hresultOf(status: number): Hresult | undefined {
  return status === 400 || status === 411 ? HRESULT.invalidArgument : undefined;
}

/** Under both of its names: the specification and the Windows documentation differ. */
function errorHeaders(hresult: Hresult | undefined): Record<string, string> {
  if (hresult === undefined) return {};
  const code = `0x${hresult.toString(16).toUpperCase().padStart(8, "0")}`;
  return {
    "BITS-Error-Code": code,
    "BITS-Error": code,
    "BITS-Error-Context": `0x${ERROR_CONTEXT.server.toString(16)}`,
  };
}
