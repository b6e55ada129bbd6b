import { stat } from "node:fs/promises";
import {
  Accounts,
  type LocalGroup,
  LocalGroups,
  makeStoredAccount,
  parseAccounts,
  parseLocalGroups,
  type StoredAccount,
} from "@ckmesh/auth";
import { AppError, describeError } from "@ckmesh/core";
import { readYamlFile } from "@ckmesh/runtime";
import { writeAtomic } from "@ckmesh/store";

const HEADER =
  "# Accounts of the origin. Add or change one: ckmesh origin account add NAME --password-file F --accounts THIS\n";

/**
 * Adds an account, or changes its password. The file is replaced in one step, mode 0600.
 * @param withNtlm the account may log on with NTLM: the file then holds what is as secret as the password
 * @throws {AppError} ERR_CONFIG_INVALID, ERR_USAGE
 */
export async function addAccount(
  file: string,
  name: string,
  password: string,
  withNtlm = true,
): Promise<void> {
  if (password === "" || password.length > 256) {
    throw new AppError("ERR_USAGE", "a password has 1 to 256 characters");
  }
  const added = await makeStoredAccount(name, password, withNtlm);
  const { accounts, groups } = (await modeOf(file)) === undefined ? NO_USERS : loadUsers(file);
  const others = accounts.list().filter((account) => account.name.toLowerCase() !== added.name.toLowerCase());
  const lines = [...others.map((account) => account.stored), added]
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(accountLine);
  const groupLines = groups.list().map(groupLine);
  const groupText = groupLines.length === 0 ? "" : `groups:\n${groupLines.join("")}`;
  try {
    await writeAtomic(file, `${HEADER}accounts:\n${lines.join("")}${groupText}`);
  } catch (cause) {
    throw new AppError("ERR_FILE_DENIED", `cannot write ${file}: ${describeError(cause)}`, { cause });
  }
}

function accountLine({ name, password, nt }: StoredAccount): string {
  const ntlm = nt === undefined ? "" : `, nt: ${JSON.stringify(nt)}`;
  return `  - {name: ${JSON.stringify(name)}, password: ${JSON.stringify(password)}${ntlm}}\n`;
}

function groupLine({ name, members }: LocalGroup): string {
  return `  - {name: ${JSON.stringify(name)}, members: ${JSON.stringify(members)}}\n`;
}

/** Who the accounts file says there is. */
export interface LocalUsers {
  readonly accounts: Accounts;
  readonly groups: LocalGroups;
}

export const NO_USERS: LocalUsers = { accounts: new Accounts([]), groups: new LocalGroups([]) };

/** @throws {AppError} ERR_CONFIG_INVALID */
export function loadUsers(file: string): LocalUsers {
  try {
    const { value } = readYamlFile(file);
    return { accounts: parseAccounts(value), groups: parseLocalGroups(value) };
  } catch (cause) {
    throw new AppError("ERR_CONFIG_INVALID", `accounts file ${file}: ${describeError(cause)}`, { cause });
  }
}

/** Changes with the file; undefined while there is none. */
export async function stampOf(file: string): Promise<string | undefined> {
  try {
    const { size, mtimeMs, ino } = await stat(file);
    return `${size}:${mtimeMs}:${ino}`;
  } catch {
    return undefined; // Absent is a stamp too.
  }
}

export async function modeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).mode;
  } catch {
    return undefined;
  }
}
