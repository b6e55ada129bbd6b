/** What somebody may do: read images, publish them, see and change everything. */
export type Right = "read" | "change" | "admin";

/**
 * Who has which right: names of users and groups as logs print them (`alice`, `MEDV\alice`, `MEDV\Branch Admins`,
 * a local group), or `Everyone` for whoever has authenticated. Upper and lower case are equal, as in Windows.
 */
export type Rights = Readonly<Record<Right, readonly string[]>>;

/** `user` undefined = nobody known: may read where anonymous reading is on and `Everyone` may read. */
export interface Principal {
  readonly user: string | undefined;
  /** Groups of the user, local ones and those of the directory; absent = none. */
  readonly groups?: readonly string[];
  readonly anonymousEnabled: boolean;
}

/** True if the principal has the right. `change` and `admin` are never anonymous. */
export function isGranted(rights: Rights, right: Right, principal: Principal): boolean {
  const { user, groups = [], anonymousEnabled } = principal;
  const granted = new Set(rights[right].map((name) => foldName(name)));
  if (user === undefined) return right === "read" && anonymousEnabled && granted.has(EVERYONE);
  return granted.has(EVERYONE) || [user, ...groups].some((name) => granted.has(foldName(name)));
}

/** True if the answer of `isGranted` depends on groups: where it does not, no directory need be asked. */
export function dependsOnGroups(rights: Rights, right: Right, principal: Principal): boolean {
  return principal.user !== undefined && rights[right].length > 0 && !isGranted(rights, right, principal);
}

/** Two spellings of one name become equal. */
export function foldName(name: string): string {
  return name.normalize("NFC").toLowerCase();
}

const EVERYONE = "everyone";
