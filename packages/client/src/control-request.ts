import { AppError, Fields } from "@ckmesh/core";
import { parseImageName } from "@ckmesh/image";

/** What may be asked of a running client over its local socket. */
export type ControlRequest =
  | { readonly command: "status" }
  | { readonly command: "check"; readonly image?: string }
  | { readonly command: "accept" | "rollback"; readonly image: string; readonly version?: number };

const COMMANDS = ["status", "check", "accept", "rollback"] as const;

/** @throws {AppError} ERR_REQUEST_INVALID, ERR_IMAGE_NAME_INVALID */
export function parseControlRequest(text: string): ControlRequest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AppError("ERR_REQUEST_INVALID", "the request is no JSON", { cause });
  }
  const f = new Fields(value, "request", "ERR_REQUEST_INVALID");
  const command = f.oneOf("command", COMMANDS);
  switch (command) {
    case "status":
      return { command };
    case "check":
      return { command, ...(f.has("image") && { image: imageOf(f) }) };
    case "accept":
    case "rollback":
      return {
        command,
        image: imageOf(f),
        ...(f.has("version") && { version: f.int("version", 1, Number.MAX_SAFE_INTEGER) }),
      };
  }
}

function imageOf(fields: Fields): string {
  return parseImageName(fields.string("image", 255));
}
