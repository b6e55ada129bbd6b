import { sha256 } from "@ckmesh/core";
import { PAGE_BYTES } from "@ckmesh/image";

/** One page of zeros; not to be written to. */
export const zeroPage = Buffer.alloc(PAGE_BYTES);
/** SHA-256 of a whole page of zeros. */
export const zeroPageHash = sha256(zeroPage);
