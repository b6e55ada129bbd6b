import type { ErrorCode } from "@ckmesh/core";

/** Exit codes of every command: API, published in docs/cli.md. A code that is not listed there counts as failed. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  notFound: 4,
  noSpace: 5,
  verification: 6,
  busy: 7,
  configuration: 78,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const EXIT_OF: Partial<Readonly<Record<ErrorCode, ExitCode>>> = {
  ERR_CONFIG_INVALID: EXIT.configuration,
  ERR_USAGE: EXIT.usage,
  ERR_IMAGE_NAME_INVALID: EXIT.usage,
  ERR_AUTH_REQUIRED: EXIT.refused,
  ERR_AUTH_FORBIDDEN: EXIT.refused,
  ERR_TICKET_INVALID: EXIT.refused,
  ERR_FILE_DENIED: EXIT.refused,
  ERR_IMAGE_NOT_FOUND: EXIT.notFound,
  ERR_FILE_NOT_FOUND: EXIT.notFound,
  ERR_STORE_FULL: EXIT.noSpace,
  ERR_INDEX_INVALID: EXIT.verification,
  ERR_PACK_INVALID: EXIT.verification,
  ERR_SIGNATURE_INVALID: EXIT.verification,
  ERR_VERSION_REFUSED: EXIT.verification,
  ERR_CONTROL_INVALID: EXIT.verification,
  ERR_FRAME_HASH_MISMATCH: EXIT.verification,
  ERR_STORE_CORRUPT: EXIT.verification,
  ERR_STORE_BUSY: EXIT.busy,
  ERR_ADDRESS_IN_USE: EXIT.busy,
};

/** Exit code for an error code. */
export function exitCodeOf(code: ErrorCode): ExitCode {
  return EXIT_OF[code] ?? EXIT.failed;
}
