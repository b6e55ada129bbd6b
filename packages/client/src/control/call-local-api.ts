import { connect } from "node:net";
import { AppError, ERROR_CODES, type ErrorCode, Fields } from "@ckmesh/core";
import type { ControlRequest } from "./control-request.js";
import { readSocketPath } from "./local-api.js";

const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** Accept and rollback may rebuild a disk: only silence at the start is an error. */
const CONNECT_TIMEOUT_MS = 5000;

/**
 * Asks the client that has the store open.
 * @throws {AppError} ERR_FILE_NOT_FOUND when none runs; else what the client answers
 */
export async function callLocalApi(storeDir: string, request: ControlRequest): Promise<unknown> {
  const path = await readSocketPath(storeDir);
  if (path === undefined) throw notRunning(storeDir);
  const line = await exchange(path, `${JSON.stringify(request)}\n`, storeDir);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new AppError("ERR_INTERNAL", "the client's answer was cut off", { cause });
  }
  const fields = new Fields(value, "answer", "ERR_INTERNAL");
  if (!fields.boolean("ok")) {
    const code = fields.string("code", 100);
    throw new AppError(isErrorCode(code) ? code : "ERR_INTERNAL", fields.string("message", 10_000));
  }
  const result: unknown =
    typeof value === "object" && value !== null && "result" in value ? value.result : undefined;
  return result;
}

function exchange(path: string, line: string, storeDir: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const parts: Buffer[] = [];
    let bytes = 0;
    const timer = setTimeout(() => socket.destroy(new Error("no answer")), CONNECT_TIMEOUT_MS);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.write(line);
    });
    socket.on("data", (part: Buffer) => {
      bytes += part.byteLength;
      if (bytes > MAX_ANSWER_BYTES) socket.destroy(new Error("the answer is too long"));
      parts.push(part);
    });
    socket.once("error", (cause) => {
      clearTimeout(timer);
      reject(notRunning(storeDir, cause));
    });
    socket.once("close", () => {
      clearTimeout(timer);
      resolve(Buffer.concat(parts).toString("utf8"));
    });
  });
}

function notRunning(storeDir: string, cause?: unknown): AppError {
  return new AppError(
    "ERR_FILE_NOT_FOUND",
    `no client runs on ${storeDir}: start it with "ckmesh client run --store ${storeDir} --origin URL"`,
    cause === undefined ? {} : { cause },
  );
}

function isErrorCode(code: string): code is ErrorCode {
  const codes: readonly string[] = ERROR_CODES;
  return codes.includes(code);
}
