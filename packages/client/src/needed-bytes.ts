import { type IndexHead, PACK_HEADER_BYTES } from "@ckmesh/image";

/** Bytes of all rows of a version: its sections and its frames, without head and pack header. */
export function neededBytes(head: Pick<IndexHead, "disk" | "sections" | "pack">): number {
  const header = head.disk === undefined ? 0 : PACK_HEADER_BYTES;
  return head.sections.reduce((sum, s) => sum + s.length, 0) + head.pack.length - header;
}
