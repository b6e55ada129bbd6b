import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { originConfigDefaults, originConfigSchema } from "@ckmesh/origin";
import { loadConfig } from "@ckmesh/runtime";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../origin-fixture.js";

const DOCUMENT = new URL("../../../../docs/origin-configuration.md", import.meta.url);

function load(file: string) {
  const options = {
    schema: originConfigSchema,
    defaults: originConfigDefaults,
    envPrefix: "CKMESH_",
    env: {},
    flags: {},
  };
  return loadConfig({ ...options, file, unknownKeys: "error" });
}

describe("docs/origin-configuration.md", () => {
  it("shows a configuration that is valid, has every key, and states the defaults", () => {
    const file = join(temporaryFolder(), "origin.yaml");
    writeFileSync(file, /```yaml\n([^]*?)```/.exec(readFileSync(DOCUMENT, "utf8"))?.[1] ?? "");
    const { config, sources } = load(file);
    expect(config).toMatchObject(originConfigDefaults);
    expect(Object.entries(sources).filter(([, source]) => source === "default")).toEqual([]);
    expect(Object.keys(config).toSorted()).toEqual(Object.keys(originConfigSchema.properties).toSorted());
  });
});
