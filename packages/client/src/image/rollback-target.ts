import { AppError } from "@ckmesh/core";
import type { Clearance, SignedHead } from "@ckmesh/image";

/** The version a rollback goes to: the one asked for, or the newest complete and good one below the active. */
export function rollbackTarget(
  complete: readonly number[],
  active: number | undefined,
  asked: number | undefined,
  isWithdrawn: (version: number) => boolean = () => false,
): number | undefined {
  if (asked !== undefined) return complete.includes(asked) ? asked : undefined;
  return complete
    .filter((v) => (active === undefined || v < active) && !isWithdrawn(v))
    .toSorted((a, b) => b - a)[0];
}

export function unknownVersion(image: string, version: number | undefined): AppError {
  return new AppError(
    "ERR_IMAGE_NOT_FOUND",
    version === undefined
      ? `${image} has no such version here: "ckmesh client status" lists them`
      : `version ${version} of ${image} is not here (or not complete): "ckmesh client status" lists them`,
  );
}

/** A person wants what the publisher does not let this machine have. */
export function notReleased(image: string, version: number, clearance: Clearance): AppError | undefined {
  switch (clearance.type) {
    case "free":
    case "prefetch":
      return undefined;
    case "wait":
      return new AppError(
        "ERR_VERSION_REFUSED",
        `version ${version} of ${image} is not released for this machine yet (${clearance.reason})`,
      );
    case "withdrawn":
      return new AppError(
        "ERR_VERSION_REFUSED",
        `version ${version} of ${image} was withdrawn by its publisher: ${clearance.reason ?? "no reason is given"}`,
      );
  }
}

/** A pair at hand is another publication of a version than the one that is known here. */
export function otherPublication({ head, idHex }: SignedHead): AppError {
  return new AppError(
    "ERR_VERSION_REFUSED",
    `this is another ${head.name} version ${head.version} than the one that this client knows: get a newer copy of it`,
    { details: { offered: idHex } },
  );
}

/** Its pack was given up for a disk that somebody has written to since. */
export function changedDisk(image: string, version: number): AppError {
  return new AppError(
    "ERR_STORE_CORRUPT",
    `version ${version} of ${image} cannot be used: its disk was changed since it was proven, and its pack was given up (seedPacks: false); choose another version, or publish its content again`,
  );
}
