import type { KeyObject } from "node:crypto";
import { AppError } from "@ckmesh/core";
import { FRAME_RECORD_BYTES } from "../constants.js";
import { decodeHeadBlock, encodeHeadBlock, unsupported } from "../head-block.js";
import { commonPlain, headFields, parseCommon, parseVersionRef, plainRef } from "../head-fields.js";
import type { DeltaHead, SignedHead } from "../index-head.js";
import { checkCounts, checkPlaces, requireKinds, requireLengths } from "../section-layout.js";
import { MAX_REFS_RECORD_BYTES } from "./delta-refs.js";

/**
 * Encodes and signs the head of a delta.
 * @throws {AppError} ERR_INDEX_INVALID when the head breaks the format or does not fit 4 KiB
 */
export function encodeDeltaHead(
  head: DeltaHead,
  signers: readonly KeyObject[],
): { bytes: Uint8Array; id: Uint8Array } {
  checkDeltaLayout(head);
  const { name, version, base, target } = head;
  const common = commonPlain(head);
  // Key order is fixed: the id of the delta hangs on these bytes.
  const fields = {
    name,
    version,
    base: plainRef(base),
    target: plainRef(target),
    ...common.first,
    ...common.last,
  };
  return encodeHeadBlock(name, fields, signers);
}

/**
 * Reads the first 4096 bytes of the index of a delta and checks all that they say of sizes. `checkTrust`
 * decides whether the signatures suffice.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED, the latter also for what is no delta
 */
export function decodeDeltaHead(bytes: Uint8Array): SignedHead<DeltaHead> {
  return decodeHeadBlock(bytes, parseDeltaHead);
}

function parseDeltaHead(value: unknown): DeltaHead {
  const fields = headFields(value);
  if (!fields.has("base") || !fields.has("target")) throw unsupported("it is no index of a delta");
  const head: DeltaHead = {
    ...parseCommon(fields),
    base: parseVersionRef(fields.map("base")),
    target: parseVersionRef(fields.map("target")),
  };
  checkDeltaLayout(head);
  return head;
}

function checkDeltaLayout(head: DeltaHead): void {
  const lengths = checkPlaces(head);
  const { frames, kept } = head.counts;
  requireKinds(lengths, ["hashes", "frames", "refs"]);
  requireLengths(
    lengths,
    new Map([["frames", frames * FRAME_RECORD_BYTES]]),
    new Map([["refs", frames * MAX_REFS_RECORD_BYTES]]),
  );
  checkCounts(head);
  if (kept !== 0) throw invalid("it says that it keeps frames");
  if (head.target.version !== head.version || head.base.version >= head.version) {
    throw invalid(`it leads from version ${head.base.version} to ${head.target.version}`);
  }
}

function invalid(problem: string): AppError {
  return new AppError(
    "ERR_INDEX_INVALID",
    `the head of the delta is damaged or was tampered with: ${problem}`,
  );
}
