import { Bitfield } from "@ckmesh/core";
import type { PeerMessage } from "@ckmesh/wire";
import { MAX_NAMED_COPIES } from "../constants.js";
import type { Link } from "../links/link.js";
import type { RequestPicker } from "./request-picker.js";

/** What a peer says of the rows it holds. */
export type OfferMessage = Extract<
  PeerMessage,
  { type: "bitfield" | "have-all" | "have-none" | "have" | "lost" }
>;

/**
 * Notes what a peer holds, gained or lost.
 * @param rows rows of the version
 * @returns false when it has named so many rows that it only costs time
 */
export function takeOffer(link: Link, message: OfferMessage, rows: number, picker: RequestPicker): boolean {
  link.hasGreeted = true;
  const runs = message.type === "have" || message.type === "lost" ? message.runs : undefined;
  link.namedRows += runs === undefined ? rows : runs.reduce((sum, run) => sum + run.count, 0);
  if (link.namedRows > MAX_NAMED_COPIES * rows) return false;
  if (runs === undefined) {
    if (message.type === "bitfield") link.bits = Bitfield.from(message.bits, rows);
    else link.bits = message.type === "have-all" ? Bitfield.full(rows) : new Bitfield(rows);
    picker.offerAll(link);
    return true;
  }
  for (const run of runs) {
    for (let row = run.first; row < run.first + run.count; row++) {
      if (message.type === "have") link.bits.add(row);
      else link.bits.delete(row);
    }
    if (message.type === "have") picker.offered(link, run);
  }
  return true;
}
