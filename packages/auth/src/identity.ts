/** How somebody proved who they are; also what audit and logs print. */
export type SchemeName = "basic" | "ntlm" | "negotiate" | "certificate";

/** Who somebody proved to be. */
export interface Identity {
  /** As in logs, audit and rights: `alice` (local account), `MEDV\alice` (directory; NetBIOS name of the domain). */
  readonly name: string;
  /** Without domain. */
  readonly account: string;
  /** Absent for local accounts. */
  readonly domain?: string;
}
