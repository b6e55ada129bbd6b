import { join } from "node:path";
import { addAccount } from "@ckmesh/origin";
import type { LocalUser } from "./ntlm-handshake.js";

/** May read. */
export const ALICE: LocalUser = { account: "alice", password: "Alice-Pw1" };
/** Known, and without the right to read. */
export const BOB: LocalUser = { account: "bob", password: "Bob-Pw1" };
/** The same, for tests that might lock an account. */
export const CAROL: LocalUser = { account: "carol", password: "Carol-Pw1" };
export const ALICE_ONLY = { read: ["alice"] } as const;

/** An accounts file with alice, bob and carol; returns its path. */
export async function writeAccounts(folder: string): Promise<string> {
  const file = join(folder, "accounts.yaml");
  for (const { account, password } of [ALICE, BOB, CAROL]) await addAccount(file, account, password); // oxlint-disable-line no-await-in-loop -- one file
  return file;
}
