/** What somebody may do: read images, publish them, see and change everything. */
export type Right = "read" | "change" | "admin";

/** Who has which right: account names, or `Everyone` for whoever has authenticated. */
export type Rights = Readonly<Record<Right, readonly string[]>>;

/** `user` undefined = nobody known: may read where anonymous reading is on and `Everyone` may read. */
export interface Principal {
  readonly user: string | undefined;
  readonly anonymousEnabled: boolean;
}

/** True if the principal has the right. `change` and `admin` are never anonymous. */
export function isGranted(rights: Rights, right: Right, principal: Principal): boolean {
  const names = new Set(rights[right].map((name) => name.toLowerCase()));
  if (principal.user === undefined) {
    return right === "read" && principal.anonymousEnabled && names.has("everyone");
  }
  return names.has("everyone") || names.has(principal.user.toLowerCase());
}
