import { AppError, Fields } from "@ckmesh/core";
import { foldName } from "./rights.js";

const MAX_GROUPS = 1000;
const MAX_MEMBERS = 10_000;
const MAX_NAME_LENGTH = 256;

export interface LocalGroup {
  readonly name: string;
  /** Local accounts, users of the directory (`MEDV\alice`), groups of the directory; no local groups, as in Windows. */
  readonly members: readonly string[];
}

/** The groups of the accounts file, found by their members. */
export class LocalGroups {
  readonly #groups: readonly LocalGroup[];
  readonly #byMember = new Map<string, string[]>();

  constructor(groups: readonly LocalGroup[]) {
    this.#groups = groups;
    for (const { name, members } of groups) {
      for (const member of members) {
        const names = this.#byMember.get(foldName(member));
        if (names === undefined) this.#byMember.set(foldName(member), [name]);
        else names.push(name);
      }
    }
  }

  list(): readonly LocalGroup[] {
    return this.#groups;
  }

  /** @param names the user's own, and those of the user's groups in the directory */
  groupsOf(names: readonly string[]): readonly string[] {
    return [...new Set(names.flatMap((name) => this.#byMember.get(foldName(name)) ?? []))];
  }
}

/**
 * Reads `groups: [{ name, members }]` of an accounts file; a file without them has none.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function parseLocalGroups(value: unknown): LocalGroups {
  if (value === null || value === undefined) return new LocalGroups([]);
  const file = new Fields(value, "accounts file", "ERR_CONFIG_INVALID");
  if (!file.has("groups")) return new LocalGroups([]);
  const groups = file.list("groups", MAX_GROUPS).map((item, i) => {
    const fields = new Fields(item, `groups[${i}]`, "ERR_CONFIG_INVALID");
    return {
      name: parseGroupName(fields.string("name", MAX_NAME_LENGTH)),
      members: fields.strings("members", MAX_MEMBERS, MAX_NAME_LENGTH),
    };
  });
  refuseDoubles(groups, accountNames(file));
  return new LocalGroups(groups);
}

/**
 * A group of this name could be taken for something else where rights name it: a domain's, or `Everyone`.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
function parseGroupName(text: string): string {
  const name = text.normalize("NFC");
  // oxlint-disable-next-line eslint/no-control-regex -- control characters are exactly what is refused
  if (!/^[^\u0000-\u001f\u007f"/\\[\]:;|=,+*?<>@]{1,104}$/.test(name) || RESERVED.has(foldName(name))) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `${JSON.stringify(text)} is no name of a group: 1 to 104 characters, none of " / \\ [ ] : ; | = , + * ? < > @`,
    );
  }
  return name;
}

function accountNames(file: Fields): readonly string[] {
  if (!file.has("accounts")) return [];
  return file
    .list("accounts", MAX_MEMBERS)
    .map((item, i) =>
      new Fields(item, `accounts[${i}]`, "ERR_CONFIG_INVALID").string("name", MAX_NAME_LENGTH),
    );
}

/** Rights name users and groups alike, so no two may bear one name. */
function refuseDoubles(groups: readonly LocalGroup[], accounts: readonly string[]): void {
  const taken = new Set(accounts.map((name) => foldName(name)));
  for (const { name } of groups) {
    if (taken.has(foldName(name))) {
      throw new AppError("ERR_CONFIG_INVALID", `group ${name}: an account or another group bears this name`);
    }
    taken.add(foldName(name));
  }
}

const RESERVED = new Set(["everyone", "anonymous", "-"]);
