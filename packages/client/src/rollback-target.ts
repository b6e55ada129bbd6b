import { AppError } from "@ckmesh/core";

/** The version a rollback goes to: the one asked for, or the newest complete one below the active. */
export function rollbackTarget(
  complete: readonly number[],
  active: number | undefined,
  asked: number | undefined,
): number | undefined {
  if (asked !== undefined) return complete.includes(asked) ? asked : undefined;
  return complete.filter((v) => active === undefined || v < active).toSorted((a, b) => b - a)[0];
}

export function unknownVersion(image: string, version: number | undefined): AppError {
  return new AppError(
    "ERR_IMAGE_NOT_FOUND",
    version === undefined
      ? `${image} has no such version here: "ckmesh client status" lists them`
      : `version ${version} of ${image} is not here (or not complete): "ckmesh client status" lists them`,
  );
}
