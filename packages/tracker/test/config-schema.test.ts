import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "@ckmesh/runtime";
import { expect, it, onTestFinished } from "vitest";
import { trackerConfigSchema } from "../src/config-schema.js";
import { DEFAULT_ANNOUNCE_MS, DEFAULT_LIMITS } from "../src/tracker-rules.js";

const DOCUMENT = new URL("../../../docs/tracker-configuration.md", import.meta.url);

it("docs/tracker-configuration.md shows a valid configuration with every key, and the defaults", () => {
  const folder = mkdtempSync(join(tmpdir(), "ckmesh-config-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "tracker.yaml");
  writeFileSync(file, /```yaml\n([^]*?)```/.exec(readFileSync(DOCUMENT, "utf8"))?.[1] ?? "");
  const { config } = loadConfig({
    schema: trackerConfigSchema,
    defaults: {},
    file,
    envPrefix: "CKMESH_",
    env: {},
    flags: {},
    unknownKeys: "error",
  });
  expect(config).toMatchObject({ open: false, announceMs: DEFAULT_ANNOUNCE_MS, limits: DEFAULT_LIMITS });
  expect(Object.keys(config).toSorted()).toEqual(Object.keys(trackerConfigSchema.properties).toSorted());
});
