import { isDeepStrictEqual } from "node:util";
import type { OriginConfig } from "./config-schema.js";

/** What a new configuration means for an origin that runs. */
export interface ReloadPlan {
  /** Dotted keys that count from now on. */
  readonly changed: readonly string[];
  /** Dotted keys that differ, but count only after a restart. */
  readonly restart: readonly string[];
}

/** Settings that an origin takes while it runs; with all that lies below. */
const LIVE_KEYS: readonly string[] = [
  "authentication",
  "rights",
  "sites",
  "trustedProxies",
  "publishers",
  "bits",
  "limits.maxConnections",
  "limits.drainMs",
];

/** Of those, what is opened once. */
const FIXED_KEYS: ReadonlySet<string> = new Set(["bits.stagingPath"]);

export function planReload(before: OriginConfig, after: OriginConfig): ReloadPlan {
  const differing = differences(before, after, "");
  return {
    changed: differing.filter(isLive),
    restart: differing.filter((key) => !isLive(key)),
  };
}

function isLive(key: string): boolean {
  if (FIXED_KEYS.has(key)) return false;
  return LIVE_KEYS.some((live) => key === live || key.startsWith(`${live}.`));
}

/** The deepest keys at which two configurations differ; lists and maps of the user's own names count as a whole. */
function differences(before: unknown, after: unknown, key: string): readonly string[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (!isBlock(before) || !isBlock(after) || key === "sites") return [key];
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].flatMap((name) =>
    differences(before[name], after[name], key === "" ? name : `${key}.${name}`),
  );
}

function isBlock(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
