import { describe, expect, it } from "vitest";
import { dependsOnGroups, isGranted, LocalGroups, parseLocalGroups } from "../src/index.js";

const configInvalid = expect.objectContaining({ code: "ERR_CONFIG_INVALID" });
const rights = { read: ["Everyone"], change: ["carol", "MEDV\\Branch Admins", "Publishers"], admin: [] };
const as = (user: string | undefined, ...groups: string[]) => ({ user, groups, anonymousEnabled: true });

describe("rights", () => {
  it("belong to users and groups by name, without regard to case", () => {
    expect(isGranted(rights, "change", as("CAROL"))).toBe(true);
    expect(isGranted(rights, "change", as("MEDV\\alice", "MEDV\\Domain Users", "medv\\branch admins"))).toBe(
      true,
    );
    expect(isGranted(rights, "change", as("bob", "publishers"))).toBe(true);
    expect(isGranted(rights, "change", as("MEDV\\carol"))).toBe(false);
    expect(isGranted(rights, "change", as("EVIL\\alice", "EVIL\\Branch Admins", "Branch Admins"))).toBe(
      false,
    );
    expect(isGranted(rights, "admin", as("carol", "Publishers"))).toBe(false);
  });

  it("of Everyone are those of whoever has authenticated, and only reading is ever anonymous", () => {
    const open = { read: ["everyone"], change: ["EVERYONE"], admin: ["Everyone"] };
    expect((["read", "change", "admin"] as const).map((right) => isGranted(open, right, as("x")))).toEqual([
      true,
      true,
      true,
    ]);
    expect(
      (["read", "change", "admin"] as const).map((right) => isGranted(open, right, as(undefined))),
    ).toEqual([true, false, false]);
    // Not even by a group of nobody.
    expect(isGranted(rights, "change", as(undefined, "Publishers"))).toBe(false);
  });

  it("need a look at groups only where the name alone does not give them", () => {
    expect(dependsOnGroups(rights, "read", as("alice"))).toBe(false);
    expect(dependsOnGroups(rights, "change", as("carol"))).toBe(false);
    expect(dependsOnGroups(rights, "admin", as("alice"))).toBe(false);
    expect(dependsOnGroups(rights, "change", as(undefined))).toBe(false);
    expect(dependsOnGroups(rights, "change", as("alice"))).toBe(true);
  });
});

describe("groups of the accounts file", () => {
  const file = {
    accounts: [{ name: "carol", password: "scrypt$…" }],
    groups: [
      { name: "Publishers", members: ["Carol", "MEDV\\Branch Admins"] },
      { name: "Night shift", members: ["carol", "MEDV\\alice"] },
    ],
  };

  it("are found by accounts, users and groups of the directory", () => {
    const groups = parseLocalGroups(file);
    expect(groups.groupsOf(["carol"])).toEqual(["Publishers", "Night shift"]);
    expect(groups.groupsOf(["MEDV\\Alice", "medv\\branch admins"])).toEqual(["Night shift", "Publishers"]);
    expect(groups.groupsOf(["MEDV\\carol"])).toEqual([]);
    expect(parseLocalGroups({ accounts: [] }).list()).toEqual(new LocalGroups([]).list());
  });

  it("may not bear the name of an account, of another group, of Everyone, or of a domain's", () => {
    for (const name of ["carol", "PUBLISHERS", "everyone", "MEDV\\Branch Admins", ""]) {
      expect(() => parseLocalGroups({ ...file, groups: [...file.groups, { name, members: [] }] })).toThrow(
        configInvalid,
      );
    }
    expect(() => parseLocalGroups({ groups: [{ name: "x" }] })).toThrow(configInvalid);
    expect(() => parseLocalGroups({ groups: [{ name: "x", members: [1] }] })).toThrow(configInvalid);
  });
});
