import { describe, expect, it } from "vitest";
import { parseUploadTarget } from "../../src/uploads/upload-target.js";

describe("the name of an upload", () => {
  it.each([
    ["win7.ckm", { image: "win7", kind: "pack", fileName: "win7.ckm" }],
    ["win7.ckm.index", { image: "win7", kind: "index", fileName: "win7.ckm.index" }],
    ["win7_12.CKM.Index", { image: "win7", kind: "index", version: 12, fileName: "win7_12.CKM.Index" }],
    ["b%C3%BCro.ckm", { image: "büro", kind: "pack", fileName: "büro.ckm" }],
    ["bu%CC%88ro.ckm", { image: "büro", kind: "pack", fileName: "büro.ckm" }],
  ])("%s is read", (segment, target) => {
    expect(parseUploadTarget(segment)).toEqual(target);
  });

  it.each([
    "",
    ".ckm",
    "win7",
    "win7.txt",
    "win7.ckm.txt",
    "win7.ckm.frames.index",
    "win7_2.from_1.ckm",
    "win7_0.ckm",
    "..",
    "..ckm",
    "../a.ckm",
    "..%2fa.ckm",
    "..%5ca.ckm",
    "..\\a.ckm",
    "%2e%2e",
    "%2e%2e%2fa.ckm",
    "a%2fb.ckm",
    "..;a/b.ckm",
    "a%00.ckm",
    "a%0a.ckm",
    "a%7f.ckm",
    "a%3cb.ckm",
    "a%3ab.ckm",
    "a%22.ckm",
    "a%7c.ckm",
    "a%3f.ckm",
    "a%2a.ckm",
    "a.ckm::$DATA",
    "a.ckm:s.ckm",
    "CON.ckm",
    "nul.ckm",
    "com1.x.ckm",
    "LPT9.ckm",
    "CONIN$.ckm",
    ".a.ckm",
    "a..ckm",
    "a%20.ckm",
    "a.ckm%20",
    "a.ckm.",
    "a%zz.ckm",
    "a%c0%ae.ckm",
    "a%ff.ckm",
    "a%25b.ckm",
    "%252e%252e%252fa.ckm",
    `${"a".repeat(300)}.ckm`,
    `${"%41".repeat(300)}.ckm`,
  ])("%s is refused with 400 and E_INVALIDARG", (segment) => {
    expect(() => parseUploadTarget(segment)).toThrow(
      expect.objectContaining({ code: "ERR_IMAGE_NAME_INVALID", status: 400, hresult: 0x80070057 }),
    );
  });
});
