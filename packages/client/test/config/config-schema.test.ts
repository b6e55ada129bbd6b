import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "@ckmesh/runtime";
import { expect, it, onTestFinished } from "vitest";
import { clientConfigDefaults, clientConfigSchema } from "../../src/config/config-schema.js";

const DOCUMENT = new URL("../../../../docs/client-configuration.md", import.meta.url);

it("docs/client-configuration.md shows a valid configuration with every key, and the defaults", () => {
  const folder = mkdtempSync(join(tmpdir(), "ckmesh-config-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "client.yaml");
  writeFileSync(file, /```yaml\n([^]*?)```/.exec(readFileSync(DOCUMENT, "utf8"))?.[1] ?? "");
  const { config } = loadConfig({
    schema: clientConfigSchema,
    defaults: clientConfigDefaults,
    file,
    envPrefix: "CKMESH_",
    env: {},
    flags: {},
    unknownKeys: "error",
  });
  const examples = { images: ["Win11"], siteNetworks: ["10.2.0.0/16"] };
  expect(config).toMatchObject({ ...clientConfigDefaults, ...examples });
  expect(Object.keys(config).toSorted()).toEqual(Object.keys(clientConfigSchema.properties).toSorted());
});
