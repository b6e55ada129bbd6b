import { randomBytes } from "node:crypto";
import { appendFile, rename, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeFile, tempFolder, touch } from "./upload-fixtures.js";

async function bytesOf(parts: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const part of parts) all.push(part);
  return Buffer.concat(all);
}

describe("a file", () => {
  it("is read in any range", async () => {
    const { bytes, source } = await makeFile(join(await tempFolder(), "a"), 2_500_000);
    for (const [first, last] of [
      [0, 2_499_999],
      [0, 0],
      [2_499_999, 2_499_999],
      [1_048_575, 1_048_576],
      [63, 2_200_000],
    ] as const)
      expect((await bytesOf(source.read(first, last))).equals(bytes.subarray(first, last + 1))).toBe(true);
  });

  it.each([
    ["it was written to", async (path: string) => await appendFile(path, "x")],
    ["only its time is another", touch],
    [
      "another one took its name",
      async (path: string) => {
        await writeFile(`${path}.new`, randomBytes(999));
        await rename(`${path}.new`, path);
      },
    ],
    ["it is gone", async (path: string) => await rename(path, `${path}.gone`)],
  ] as const)("is not unchanged when %s", async (_, change) => {
    const path = join(await tempFolder(), "a");
    const { source } = await makeFile(path, 1000);
    expect(await source.isUnchanged()).toBe(true);
    await change(path);
    expect(await source.isUnchanged()).toBe(false);
  });

  it("that became shorter ends a read with ERR_UPLOAD_CONFLICT", async () => {
    const path = join(await tempFolder(), "a");
    const { source } = await makeFile(path, 3_000_000);
    await truncate(path, 2_000_000);
    await expect(bytesOf(source.read(0, 2_999_999))).rejects.toMatchObject({ code: "ERR_UPLOAD_CONFLICT" });
  });
});
