import { readFile } from "node:fs/promises";
import { AppError } from "@ckmesh/core";
import { addAccount } from "@ckmesh/origin";
import type { Action } from "../leaf.js";

/** Longest password file that is read, bytes. */
const MAX_PASSWORD_FILE_BYTES = 4096;

/** `origin account add NAME`. */
export const accountAdd: Action = async ({ output }, options) => {
  const name = options.arg(0);
  const accounts = options.requiredText("accounts");
  const password = await readPassword(options.requiredText("passwordFile"));
  await addAccount(accounts, name, password, options.flag("ntlm") ?? true);
  output.summary([`account ${name} written to ${accounts}`], { name, accounts });
  return undefined;
};

async function readPassword(path: string): Promise<string> {
  const text = await readFile(path, "utf8");
  const password = text.slice(0, MAX_PASSWORD_FILE_BYTES).split(/\r?\n/, 1)[0] ?? "";
  if (password === "") throw new AppError("ERR_USAGE", `${path} is empty: its first line is the password`);
  return password;
}
