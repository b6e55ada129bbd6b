import { join } from "node:path";
import { silentLogger } from "@ckmesh/core";
import { systemClock } from "@ckmesh/runtime";
import { expect, it } from "vitest";
import { OpenFiles } from "../../src/serve/open-files.js";
import { temporaryFolder } from "../origin-fixture.js";

it.each([
  ["a file that is gone", "win_1.ckm", "ERR_IMAGE_NOT_FOUND"],
  ["a file that cannot be opened for another reason", "x".repeat(5000), "ENAMETOOLONG"],
])("tells %s from the others", async (_, name, code) => {
  const files = new OpenFiles(systemClock, silentLogger);
  const stamp = { path: join(temporaryFolder(), name), size: 1, mtimeMs: 1, ino: 1 };
  await expect(files.acquire(stamp)).rejects.toMatchObject({ code });
});
