import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readKeyFile } from "@ckmesh/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "ckmesh-key-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("readKeyFile", () => {
  it("takes 64 hexadecimal characters with white space around", async () => {
    const file = join(folder, "key");
    await writeFile(file, `\n${"aB".repeat(32)}  \r\n`);
    expect([...(await readKeyFile(file, "fleetKeyFile"))]).toEqual(Array.from({ length: 32 }, () => 0xab));
  });

  it.each([
    ["too short", "ab".repeat(31)],
    ["too long", "ab".repeat(33)],
    ["no hexadecimal", "xy".repeat(32)],
    ["empty", ""],
  ])("refuses a file that is %s with ERR_CONFIG_INVALID", async (_, text) => {
    const file = join(folder, "key");
    await writeFile(file, text);
    await expect(readKeyFile(file, "fleetKeyFile")).rejects.toMatchObject({ code: "ERR_CONFIG_INVALID" });
  });

  it("names the setting when the file is missing", async () => {
    await expect(readKeyFile(join(folder, "none"), "joinKeyFile")).rejects.toMatchObject({
      code: "ERR_CONFIG_INVALID",
      message: expect.stringContaining("joinKeyFile") as unknown,
    });
  });
});
