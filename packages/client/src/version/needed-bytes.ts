import { type IndexHead, PACK_HEADER_BYTES } from "@ckmesh/image";
import type { SourceBytes } from "@ckmesh/store";

/** Bytes of all rows of a version: its sections and its frames, without head and pack header. */
export function neededBytes(head: Pick<IndexHead, "disk" | "sections" | "pack">): number {
  const header = head.disk === undefined ? 0 : PACK_HEADER_BYTES;
  return head.sections.reduce((sum, s) => sum + s.length, 0) + head.pack.length - header;
}

/** Bytes of the rows that are not held yet. */
export function missingBytes(head: Parameters<typeof neededBytes>[0], held: SourceBytes): number {
  const { previous, delta, host, peers, origin } = held;
  return neededBytes(head) - previous - delta - host - peers - origin;
}
