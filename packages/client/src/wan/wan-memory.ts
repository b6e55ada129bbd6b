import { readFile } from "node:fs/promises";
import { Fields, type Logger } from "@ckmesh/core";
import { fileErrorCode, writeAtomic } from "@ckmesh/store";
import type { WanCap } from "./wan-cap.js";

/** What outlives a restart of the WAN's use. */
export interface WanMemory {
  /** A temporary order of a person, until then (Unix ms). */
  readonly override?: { readonly cap: WanCap; readonly until: number };
  /** The best rate of the site that was measured, bytes per second; 0: none yet. */
  readonly best: number;
}

const MODES = ["off", "slow", "full", "rate"] as const;
const MAX = Number.MAX_SAFE_INTEGER;

/** Nothing remembered where the file is absent or damaged: then the configuration alone counts. */
export async function readWanMemory(path: string, logger: Logger): Promise<WanMemory> {
  try {
    return parse(JSON.parse(await readFile(path, "utf8")));
  } catch (err) {
    if (fileErrorCode(err) !== "ENOENT") logger.warn({ err, path }, "remembered use of the WAN not read");
    return { best: 0 };
  }
}

/** @throws {AppError} ERR_STORE_FULL */
export async function writeWanMemory(path: string, { override, best }: WanMemory): Promise<void> {
  const cap =
    override === undefined
      ? {}
      : {
          override: {
            mode: typeof override.cap === "number" ? "rate" : override.cap,
            ...(typeof override.cap === "number" && { bytesPerSec: override.cap }),
            until: override.until,
          },
        };
  await writeAtomic(path, `${JSON.stringify({ best, ...cap })}\n`);
}

function parse(value: unknown): WanMemory {
  const f = new Fields(value, "wan memory", "ERR_STORE_CORRUPT");
  const best = f.number("best", 0, MAX);
  if (!f.has("override")) return { best };
  const override = f.map("override");
  const mode = override.oneOf("mode", MODES);
  const cap = mode === "rate" ? override.number("bytesPerSec", Number.MIN_VALUE, MAX) : mode;
  return { best, override: { cap, until: override.number("until", 0, MAX) } };
}
