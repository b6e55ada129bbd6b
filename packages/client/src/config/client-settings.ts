import { AppError, fromHex, parseRate } from "@ckmesh/core";
import { parseImageName, type TrustPolicy } from "@ckmesh/image";
import { parseTimetable } from "@ckmesh/swarm";
import { parseNetwork } from "@ckmesh/wire";
import type { ImageSettings } from "../client-context.js";
import { hostFolders } from "../trim/host-folders.js";
import type { TrimSettings } from "../trim/host-trim.js";
import type { WanSettings } from "../wan/wan-control.js";
import type { ClientConfig } from "./config-schema.js";
import { type OriginAccess, readOriginAccess } from "./origin-config.js";

/** What the texts of a configuration mean; found wrong at the start, not at the first use. */
export interface ClientSettings {
  readonly isOriginPrivate: boolean;
  readonly trust: TrustPolicy;
  readonly images: ImageSettings;
  readonly wan: WanSettings;
  readonly access: OriginAccess;
  /** Bytes per second of the disks for work in the background; undefined: no limit. */
  readonly ioRate: number | undefined;
  /** Undefined: off. */
  readonly trim: TrimSettings | undefined;
}

/** @throws {AppError} ERR_CONFIG_INVALID naming the key */
export async function readSettings(config: ClientConfig): Promise<ClientSettings> {
  for (const key of ["images", "suggest", "manual", "trimOff"] as const) {
    for (const name of config[key]) checked(key, () => parseImageName(name));
  }
  for (const network of config.siteNetworks) {
    if (parseNetwork(network) === undefined) {
      throw invalid(
        "siteNetworks",
        `${JSON.stringify(network)} is no network; write for example 10.1.0.0/16`,
      );
    }
  }
  const publishers = config.publishers.map((text) => {
    const key = fromHex(text, 32);
    if (key === undefined)
      throw invalid("publishers", `${JSON.stringify(text)} is no key of 64 hexadecimal characters`);
    return key;
  });
  if (config.signature === "required" && publishers.length === 0) {
    throw invalid("signature", "required, but publishers names no key: no image could be accepted");
  }
  if (!config.seedPacks && config.materialize === "off") {
    throw invalid("seedPacks", "false, but materialize is off: neither a pack nor a disk would be kept");
  }
  const { wanBudget, ioRate } = config;
  return {
    isOriginPrivate: /^https:/i.test(config.origin),
    trust: { publishers, signature: config.signature },
    images: {
      policyOf: (image) =>
        config.manual.includes(image) ? "manual" : config.suggest.includes(image) ? "suggest" : config.policy,
      keep: config.keep,
      materialize: config.materialize,
      seedPacks: config.seedPacks,
      consentHook: config.consentHook,
    },
    wan: {
      budget:
        wanBudget === undefined || wanBudget === "off"
          ? wanBudget
          : positiveRate("wanBudget", wanBudget, "wanTimetable can close the way to the origin"),
      timetable: checked("wanTimetable", () => parseTimetable(config.wanTimetable)),
    },
    ioRate: ioRate === undefined ? undefined : positiveRate("ioRate", ioRate, "leave it out for no limit"),
    access: await readOriginAccess(config),
    trim: config.trim
      ? {
          folders: hostFolders(config.trimFolders),
          off: config.trimOff,
          waitMs: config.trimWaitSeconds * 1000,
        }
      : undefined,
  };
}

/** @returns bytes per second */
function positiveRate(key: string, text: string, advice: string): number {
  const rate = checked(key, () => parseRate(text));
  if (rate > 0) return rate;
  throw invalid(key, `must be more than 0; ${advice}`);
}

function checked<T>(key: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `${key}: ${cause instanceof Error ? cause.message : "invalid"}`,
      { cause },
    );
  }
}

function invalid(key: string, problem: string): AppError {
  return new AppError("ERR_CONFIG_INVALID", `${key}: ${problem}`);
}
