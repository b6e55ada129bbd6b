import { isAbsolute } from "node:path";
import { AppError, Fields } from "@ckmesh/core";
import { parseImageName } from "@ckmesh/image";
import type { WanCap } from "../wan/wan-cap.js";
import { MAX_OVERRIDE_MS } from "../wan/wan-control.js";

/** What may be asked of a running client over its local socket. */
export type ControlRequest =
  | { readonly command: "status" }
  | { readonly command: "check"; readonly image?: string }
  | { readonly command: "accept" | "rollback"; readonly image: string; readonly version?: number }
  /** Takes the newest version of each image in a folder, as this client sees it. */
  | { readonly command: "import"; readonly folder: string }
  /** Temporary: `cap` for so long; without `cap` what the configuration says counts again. */
  | { readonly command: "limit"; readonly cap?: WanCap; readonly forMs: number };

/** Longest path that Linux takes; Windows takes 32,767 characters of which no folder here needs more. */
const MAX_PATH = 4096;
const COMMANDS = ["status", "check", "accept", "rollback", "limit", "import"] as const;
const WAN_MODES = ["off", "slow", "full"] as const;

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
    case "import":
      return { command, folder: folderOf(f) };
    case "limit":
      return {
        command,
        ...(f.has("cap") && { cap: capOf(f) }),
        forMs: f.number("forMs", 0, MAX_OVERRIDE_MS),
      };
  }
}

/** A mode, or bytes per second. */
function capOf(f: Fields): WanCap {
  try {
    return f.oneOf("cap", WAN_MODES);
  } catch {
    // Then it has to be a rate.
    return f.number("cap", Number.MIN_VALUE, Number.MAX_SAFE_INTEGER);
  }
}

/** Absolute: the client has a working folder of its own. */
function folderOf(fields: Fields): string {
  const folder = fields.string("folder", MAX_PATH);
  if (isAbsolute(folder)) return folder;
  throw new AppError("ERR_REQUEST_INVALID", `${folder} is no absolute path`);
}

function imageOf(fields: Fields): string {
  return parseImageName(fields.string("image", 255));
}
