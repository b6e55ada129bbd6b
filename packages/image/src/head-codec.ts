import type { KeyObject } from "node:crypto";
import type { Fields } from "@ckmesh/core";
import { MAX_DISK_BYTES, SECTOR_BYTES } from "./constants.js";
import { decodeHeadBlock, encodeHeadBlock, unsupported } from "./head-block.js";
import { commonPlain, headFields, parseCommon, parseVersionRef, plainRef } from "./head-fields.js";
import { DISK_FORMATS, type IndexHead, type SignedHead } from "./index-head.js";
import { checkLayout } from "./section-layout.js";

/**
 * Encodes and signs a head.
 * @throws {AppError} ERR_INDEX_INVALID when the head breaks the format or does not fit 4 KiB
 */
export function encodeHead(
  head: IndexHead,
  signers: readonly KeyObject[],
): { bytes: Uint8Array; id: Uint8Array } {
  checkLayout(head);
  return encodeHeadBlock(head.name, toPlain(head), signers);
}

/**
 * Reads the first 4096 bytes of an index and checks all that they say of sizes. The signatures are only
 * parsed: `checkTrust` decides whether they suffice.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED, the latter also for a delta
 */
export function decodeHead(bytes: Uint8Array): SignedHead {
  return decodeHeadBlock(bytes, parseHead);
}

function parseHead(value: unknown): IndexHead {
  const fields = headFields(value);
  if (fields.has("base") || fields.has("target")) {
    throw unsupported("it is the index of a delta", { isDelta: true });
  }
  const head: IndexHead = {
    ...parseCommon(fields),
    ...(fields.has("previous") ? { previous: parseVersionRef(fields.map("previous")) } : {}),
    ...(fields.has("disk") ? { disk: parseDisk(fields.map("disk")) } : {}),
  };
  checkLayout(head);
  return head;
}

function parseDisk(fields: Fields): NonNullable<IndexHead["disk"]> {
  return {
    size: fields.int("size", 1, MAX_DISK_BYTES),
    format: fields.oneOf("format", DISK_FORMATS),
    gridOffset: fields.int("gridOffset", 0, SECTOR_BYTES - 1),
  };
}

/** Key order and presence are fixed here: the version id hangs on these bytes. */
function toPlain(head: IndexHead): object {
  const { name, version, previous, disk } = head;
  const common = commonPlain(head);
  return {
    name,
    version,
    ...(previous === undefined ? {} : { previous: plainRef(previous) }),
    ...common.first,
    ...(disk === undefined
      ? {}
      : { disk: { size: disk.size, format: disk.format, gridOffset: disk.gridOffset } }),
    ...common.last,
  };
}
