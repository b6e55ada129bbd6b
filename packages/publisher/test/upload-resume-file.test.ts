import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UploadResumeFile } from "../src/upload-resume-file.js";
import { tempFolder } from "./upload-fixtures.js";

const URL = "https://images.example/MEDVImages";
const POINT = { sessionId: "{1}", received: 700, isClosed: false };

async function setUp() {
  const path = join(await tempFolder(), "A_1.ckm.upload");
  return { path, file: await UploadResumeFile.open(path, URL) };
}

describe("a resume file", () => {
  it("tells the next run where the last one was, per file", async () => {
    const { path, file } = await setUp();
    await file.note("A_1.ckm", "s1", POINT);
    await file.note("A_1.ckm.index", "s2", { ...POINT, isClosed: true });
    const next = await UploadResumeFile.open(path, URL);
    expect(next.find("A_1.ckm", "s1")).toMatchObject(POINT);
    expect(next.find("A_1.ckm.index", "s2")).toMatchObject({ isClosed: true });
  });

  it("counts for the same content and URL only", async () => {
    const { path, file } = await setUp();
    await file.note("A_1.ckm", "s1", POINT);
    expect(file.find("A_1.ckm", "s2")).toBeUndefined();
    expect((await UploadResumeFile.open(path, `${URL}2`)).find("A_1.ckm", "s1")).toBeUndefined();
  });

  it("is its owner's to read", async () => {
    const { path, file } = await setUp();
    await file.note("A_1.ckm", "s1", POINT);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("is gone after the end", async () => {
    const { path, file } = await setUp();
    await file.note("A_1.ckm", "s1", POINT);
    await file.remove();
    await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
    await file.remove();
  });

  it("keeps the last of points that are noted at once", async () => {
    const { path, file } = await setUp();
    const received = Array.from({ length: 20 }, (_, i) => i);
    await Promise.all(received.map(async (n) => await file.note("A_1.ckm", "s1", { ...POINT, received: n })));
    expect((await UploadResumeFile.open(path, URL)).find("A_1.ckm", "s1")).toMatchObject({ received: 19 });
  });

  it.each([
    ["no JSON", "{"],
    ["another thing", "[]"],
    ["another format", `{"format":2,"url":"${URL}","files":{}}`],
    [
      "a damaged entry",
      `{"format":1,"url":"${URL}","files":{"A_1.ckm":{"stamp":"s1","sessionId":"{1}","received":-1,"isClosed":false}}}`,
    ],
    [
      "too long",
      `{"format":1,"url":"${URL}","files":{"A_1.ckm":{"stamp":"s1","sessionId":"{1}","received":1,"isClosed":false}}}${" ".repeat(70_000)}`,
    ],
  ])("that is %s counts as none", async (_, text) => {
    const { path } = await setUp();
    await writeFile(path, text);
    expect((await UploadResumeFile.open(path, URL)).find("A_1.ckm", "s1")).toBeUndefined();
  });
});
