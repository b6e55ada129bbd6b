/** Bytes of one sector: the unit of dedupe. */
export const SECTOR_BYTES = 4096;
/** Unique sectors that one frame holds at most. */
export const FRAME_SECTORS = 16;
/** Raw bytes of a full frame: the unit of verification and sharing. */
export const FRAME_BYTES = FRAME_SECTORS * SECTOR_BYTES;
/** Bytes of disk under one page hash: the unit of final proof. */
export const PAGE_BYTES = 1 << 20;
export const PAGE_SECTORS = PAGE_BYTES / SECTOR_BYTES;
/** Bytes of an index that are its head, padding included. */
export const HEAD_BYTES = 4096;
export const PACK_HEADER_BYTES = 64;
/** No packed frame is longer, whatever wrote it. */
export const MAX_PACKED_FRAME_BYTES = 80 * 1024;
/** Bytes of one record of the `frames` section. */
export const FRAME_RECORD_BYTES = 52;
export const HASH_BYTES = 32;
/** Bytes kept of the SHA-256 of a frame's raw bytes. */
export const RAW_HASH_BYTES = 16;
/** Bytes of one record of the `ids` section. */
export const SECTOR_ID_BYTES = 6;

export const FORMAT = 1;
/** Largest disk that an index may describe, in bytes (64 TiB). */
export const MAX_DISK_BYTES = 64 * 2 ** 40;
/** Most rows (pieces and frames) of one version. */
export const MAX_ROWS = 8 * 2 ** 20;
/** A section has at most this many pieces; their length grows instead. */
export const MAX_SECTION_PIECES = 128;
export const MIN_PIECE_BYTES = 64 * 1024;
/** Largest `container` section: what a disk file may hold beside its disk. */
export const MAX_CONTAINER_BYTES = 64 * 2 ** 20;
/** Largest `map` section, in bytes. */
export const MAX_MAP_BYTES = 512 * 2 ** 20;
/** Largest compression level on offer; higher ones are slow and take tens of MB per call. */
export const MAX_LEVEL = 12;
/** Codec entries of a head; older ones are merged into one of level 0 (unknown) beyond. */
export const MAX_CODECS = 16;
export const MAX_SIGNATURES = 8;
