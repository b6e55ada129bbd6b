import { toHex } from "@ckmesh/core";
import { ntHash } from "../ntlm/ntlm-v2.js";
import { parseAccountName, type StoredAccount } from "./accounts.js";
import { hashPassword } from "./password-hash.js";

/**
 * What the accounts file keeps of a name and a password.
 * @param withNtlm also what NTLM needs, which is as secret as the password itself
 * @throws {AppError} ERR_CONFIG_INVALID when the name is none
 */
export async function makeStoredAccount(
  name: string,
  password: string,
  withNtlm: boolean,
): Promise<StoredAccount> {
  const account = { name: parseAccountName(name), password: await hashPassword(password) };
  return withNtlm ? { ...account, nt: toHex(ntHash(password.normalize("NFC"))) } : account;
}
