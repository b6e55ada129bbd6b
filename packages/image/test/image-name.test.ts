import { isAppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { indexFileName, packFileName, parseImageName, parseServedName } from "../src/index.js";
import { outcome } from "./outcome.js";

describe("parseImageName", () => {
  it.each(["Win11", "win-11.pro", "ä", "a_1b", "x_", "1", "Ünicode_名前", "CONSOLE", "a.frames"])(
    "accepts %s",
    (name) => {
      expect(parseImageName(name)).toBe(name);
    },
  );

  const refused = [
    "",
    "a b",
    ...'"<>|\\/:*?'.split("").map((c) => `a${c}b`),
    "a\u0000",
    "a\tb",
    "..",
    ".a",
    "a.",
    "CON",
  ];
  refused.push(
    "nul.txt",
    "com1",
    "Lpt9.x",
    "a_1",
    "a_007",
    "a.from_2",
    "a_3.from",
    "x.ckm",
    "x.INDEX",
    "a\u202eb",
  );
  refused.push("e\u0301", "\ud800", "x".repeat(161), "a/../b", "C:x", "a::$DATA");
  it.each(refused)("refuses %j with ERR_IMAGE_NAME_INVALID", (name) => {
    expect(() => parseImageName(name)).toThrow(expect.objectContaining({ code: "ERR_IMAGE_NAME_INVALID" }));
  });
});

describe("parseServedName", () => {
  it("reads packs, indexes, aliases, deltas and indexes of foreign packs", () => {
    expect(parseServedName("Win_12.ckm")).toEqual({ name: "Win", kind: "pack", version: 12 });
    expect(parseServedName("Win_12.ckm.index")).toEqual({ name: "Win", kind: "index", version: 12 });
    expect(parseServedName("Win.ckm")).toEqual({ name: "Win", kind: "pack" });
    expect(parseServedName("Win.ckm.index")).toEqual({ name: "Win", kind: "index" });
    expect(parseServedName("Win.ckm.frames.index")).toEqual({ name: "Win", kind: "frames-index" });
    expect(parseServedName("Win_3.from_2.ckm.index")).toEqual({
      name: "Win",
      kind: "index",
      version: 3,
      from: 2,
    });
  });

  it.each([
    "Win_0.ckm",
    "Win_01.ckm",
    "Win_9007199254740992.ckm",
    "Win_1_2.ckm",
    "Win_2.from_3.ckm",
    "Win_2.from_2.ckm",
    "con_1.ckm",
    "Win_1.ckm.tmp",
    "Win_1.CKM",
    "a/b_1.ckm",
    ".ckm",
    "_1.ckm",
    `${"x".repeat(250)}_1.ckm`,
  ])("knows nothing of %s", (file) => {
    expect(parseServedName(file)).toBeUndefined();
  });

  it("finds name and version again in every file name that we make", () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 20 }),
        fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        (text, version) => {
          let name: string;
          try {
            name = parseImageName(text);
          } catch (err) {
            return isAppError(err, "ERR_IMAGE_NAME_INVALID");
          }
          expect(parseServedName(packFileName(name, version))).toEqual({ name, kind: "pack", version });
          expect(parseServedName(indexFileName(name, version))).toEqual({ name, kind: "index", version });
          return true;
        },
      ),
    );
  });

  it("gives only names that parseImageName accepts, whatever the file is called", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 40 }),
        fc.constantFrom(".ckm", ".ckm.index", "_1.ckm"),
        (stem, end) => {
          const served = parseServedName(stem + end);
          expect(outcome(() => parseImageName(served?.name ?? "none"))).toBe("ok");
        },
      ),
    );
  });
});
