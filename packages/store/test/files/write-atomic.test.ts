import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeAtomic } from "../../src/files/write-atomic.js";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "ckmesh-atomic-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

describe("replacing a file", () => {
  it("leaves the whole content of one of those that write it at once", async () => {
    const path = join(dir, "state");
    const contents = Array.from({ length: 8 }, (_, i) => String(i).repeat(100_000 * (i + 1)));
    await Promise.all(contents.map((content) => writeAtomic(path, content)));
    expect(contents).toContain(await readFile(path, "utf8"));
    expect(await readdir(dir)).toEqual(["state"]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it("leaves nothing behind where it cannot be done", async () => {
    const path = join(dir, "state");
    await mkdir(join(path, "in-the-way"), { recursive: true });
    await expect(writeAtomic(path, "new")).rejects.toMatchObject({ code: "EISDIR" });
    expect(await readdir(dir)).toEqual(["state"]);
  });
});
