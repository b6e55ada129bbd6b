import { Packr } from "msgpackr";
import { AppError, type ErrorCode } from "./errors.js";

// Plain maps as objects, no shared record structures: each message stands alone and no state hangs on a link.
const packr = new Packr({
  useRecords: false,
  mapsAsObjects: true,
  int64AsType: "number",
  variableMapSize: true,
});

/** Encodes plain data (objects, arrays, strings, numbers, booleans, null, Uint8Array). */
export function encodeMsgpack(value: unknown): Uint8Array {
  return packr.pack(value);
}

/**
 * Decodes one msgpack value of at most `maxBytes`. What comes out is untrusted: parse it with `Fields`.
 * @throws {AppError} `code` (default ERR_WIRE_MESSAGE_INVALID)
 */
export function decodeMsgpack(
  bytes: Uint8Array,
  maxBytes: number,
  code: ErrorCode = "ERR_WIRE_MESSAGE_INVALID",
): unknown {
  if (bytes.byteLength > maxBytes) {
    throw new AppError(code, `message of ${bytes.byteLength} bytes; the limit is ${maxBytes}`);
  }
  try {
    return packr.unpack(bytes);
  } catch (cause) {
    throw new AppError(code, "message is not valid msgpack", { cause });
  }
}
