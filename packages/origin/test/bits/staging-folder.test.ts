import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@ckmesh/runtime";
import { describe, expect, it, onTestFinished } from "vitest";
import { prepareStaging } from "../../src/bits/staging-folder.js";
import { temporaryFolder } from "../origin-fixture.js";

/** A file system of its own on every Linux. */
const OTHER = "/dev/shm";
const hasOther = existsSync(OTHER) && statSync(OTHER).dev !== statSync(tmpdir()).dev;

const log: string[] = [];
const logger = createLogger({ level: "warn", destination: { write: (line) => log.push(line) } });

/** What `link` does where a file has one name. */
async function oneName(): Promise<void> {
  throw Object.assign(new Error("operation not permitted"), { code: "EPERM" });
}

describe("the staging folder", () => {
  it("is made, and tried without a trace", async () => {
    const [root, staging] = [temporaryFolder(), join(temporaryFolder(), "state", "uploads")];
    await prepareStaging(staging, root, logger);
    expect([readdirSync(root), readdirSync(staging), log]).toEqual([[], [], []]);
  });

  it("may lie where files have one name only, with a warning", async () => {
    const [root, staging] = [temporaryFolder(), temporaryFolder()];
    await prepareStaging(staging, root, logger, oneName);
    expect(log.splice(0).join()).toContain("no hard links");
    expect([readdirSync(root), readdirSync(staging)]).toEqual([[], []]);
  });

  it.skipIf(!hasOther)("must be on the file system of the images", async () => {
    const staging = mkdtempSync(join(OTHER, "ckmesh-staging-"));
    onTestFinished(() => rmSync(staging, { recursive: true }));
    await expect(prepareStaging(staging, temporaryFolder(), logger)).rejects.toMatchObject({
      code: "ERR_CONFIG_INVALID",
      message: expect.stringContaining("is on another file system"),
    });
    expect(readdirSync(staging)).toEqual([]);
  });

  it("must be a folder", async () => {
    const staging = join(temporaryFolder(), "uploads");
    writeFileSync(staging, "");
    await expect(prepareStaging(staging, temporaryFolder(), logger)).rejects.toMatchObject({
      code: "ERR_CONFIG_INVALID",
      message: expect.stringContaining("bits.stagingPath: cannot write to"),
    });
  });

  it("is of no use where the images cannot be written", async () => {
    const staging = join(temporaryFolder(), "uploads");
    mkdirSync(staging);
    await expect(prepareStaging(staging, join(staging, "none"), logger)).rejects.toMatchObject({
      code: "ERR_CONFIG_INVALID",
      message: expect.stringContaining("set bits.BITSUploadEnabled to false"),
    });
  });
});
