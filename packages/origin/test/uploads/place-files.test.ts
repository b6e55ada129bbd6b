import { linkSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { placeFiles, replaceFiles } from "../../src/uploads/place-files.js";
import { temporaryFolder } from "../origin-fixture.js";

/** A file system without second names. */
function noLinks(): Promise<void> {
  return Promise.reject(Object.assign(new Error("not permitted"), { code: "EPERM" }));
}

function twoFiles(): { folder: string; placements: { from: string; to: string }[] } {
  const folder = temporaryFolder();
  const placements = ["a", "b"].map((name) => {
    writeFileSync(join(folder, name), name, { mode: 0o600 });
    return { from: join(folder, name), to: join(folder, `${name}.placed`) };
  });
  return { folder, placements };
}

describe("files", () => {
  it("get their names, and keep the old ones for a crash", async () => {
    const { folder, placements } = twoFiles();
    await placeFiles(folder, placements);
    expect(readdirSync(folder)).toEqual(["a", "a.placed", "b", "b.placed"]);
    expect(statSync(join(folder, "a.placed")).mode & 0o777).toBe(0o644);
  });

  it("are moved where there are no second names", async () => {
    const { folder, placements } = twoFiles();
    await placeFiles(folder, placements, noLinks);
    expect(readdirSync(folder)).toEqual(["a.placed", "b.placed"]);
    expect(readFileSync(join(folder, "b.placed"), "utf8")).toBe("b");
  });

  it("that have their name since before a crash are left as they are", async () => {
    const { folder, placements } = twoFiles();
    linkSync(join(folder, "a"), join(folder, "a.placed"));
    await placeFiles(folder, placements);
    expect(readdirSync(folder)).toEqual(["a", "a.placed", "b", "b.placed"]);
  });

  it.each([
    ["by second names", undefined],
    ["by moving", noLinks],
  ])("never take the place of others, and then none is placed (%s)", async (_how, addName) => {
    const { folder, placements } = twoFiles();
    writeFileSync(join(folder, "b.placed"), "other");
    await expect(placeFiles(folder, placements, addName)).rejects.toMatchObject({ code: "ERR_IMAGE_EXISTS" });
    expect(readdirSync(folder)).toEqual(["a", "b", "b.placed"]);
    expect(readFileSync(join(folder, "b.placed"), "utf8")).toBe("other");
    expect(readFileSync(join(folder, "a"), "utf8")).toBe("a");
  });

  it("take the place of others where that is wanted", async () => {
    const { folder, placements } = twoFiles();
    writeFileSync(join(folder, "b.placed"), "other");
    await replaceFiles(folder, placements);
    expect(readdirSync(folder)).toEqual(["a.placed", "b.placed"]);
    expect(readFileSync(join(folder, "b.placed"), "utf8")).toBe("b");
  });
});
