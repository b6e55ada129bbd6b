import type { HeadCommon, SignedHead } from "./index-head.js";
import { checkSignatures, type TrustPolicy } from "./signatures.js";

const CONTEXT = Buffer.from("ckmesh-head-1", "latin1");

/**
 * Requires a valid signature by one of the configured publishers; those of others do not count.
 * @throws {AppError} ERR_SIGNATURE_INVALID
 */
export function checkTrust(
  { head, headBytes, signatures }: SignedHead<HeadCommon>,
  policy: TrustPolicy,
): void {
  checkSignatures(
    {
      what: `${head.name} version ${head.version}`,
      advice: "sign it with ckmesh pack --sign",
      message: headSigningBytes(head.name, headBytes),
      signatures,
    },
    policy,
  );
}

/** What a publisher signs. */
export function headSigningBytes(name: string, headBytes: Uint8Array): Uint8Array {
  return Buffer.concat([CONTEXT, Buffer.from(name, "utf8"), headBytes]);
}
