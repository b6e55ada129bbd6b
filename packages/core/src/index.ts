export { Bitfield, type Run } from "./bitfield.js";
export { BlockPool, rowBlocks } from "./block-pool.js";
export { BytePace } from "./byte-pace.js";
export {
  type ByteRange,
  MAX_RANGES,
  parseContentRange,
  parseRangeHeader,
  rangeLength,
} from "./byte-range.js";
export { equalBytes, fromHex, toHex } from "./bytes.js";
export type { Clock } from "./clock.js";
export {
  AppError,
  type AppErrorOptions,
  describeError,
  ERROR_CODES,
  type ErrorCode,
  isAppError,
  statusOf,
} from "./errors.js";
export { Fields } from "./fields.js";
export { sha256 } from "./hash.js";
export { type Logger, silentLogger } from "./logger.js";
export { type Counter, type Gauge, type Histogram, type Labels, type Metrics, noMetrics } from "./metrics.js";
export { decodeMsgpack, encodeMsgpack } from "./msgpack.js";
export { type Random, randomInt, seededRandom, shuffled } from "./random.js";
export { formatBytes, formatDuration, GIB, KIB, MIB, parseDuration, parseRate, parseSize } from "./units.js";
export { wait } from "./wait.js";
