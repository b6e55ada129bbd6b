import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileConfig } from "../src/compile-config.js";

let folder = "";
let fleetKeyFile = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ckmesh-tracker-"));
  fleetKeyFile = join(folder, "fleet.key");
  await writeFile(fleetKeyFile, "ab".repeat(32));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const allowed = async (extra: object): Promise<boolean> =>
  (await compileConfig({ fleetKeyFile, ...extra })).rules.allowLoopback;

describe("compileConfig", () => {
  it("refuses a tracker that nobody could join", async () => {
    await expect(compileConfig({})).rejects.toMatchObject({ code: "ERR_CONFIG_INVALID" });
  });

  it.each([
    ["plain ws on all addresses", { listen: "0.0.0.0:0" }],
    ["plain ws on a LAN address", { listen: "10.0.0.1:7660" }],
    ["wss without certificate", { tlsListen: "0.0.0.0:0" }],
    ["a site without label", { sites: [{ label: "", networks: [] }] }],
    ["a site network that is none", { sites: [{ label: "Berlin", networks: ["10.1"] }] }],
    ["a missing key file", { joinKeyFile: "/nonexistent/key" }],
  ])("refuses %s", async (_, extra) => {
    await expect(compileConfig({ fleetKeyFile, ...extra })).rejects.toMatchObject({
      code: "ERR_CONFIG_INVALID",
    });
  });

  it("takes plain ws on loopback, when open, and when told to", async () => {
    for (const extra of [
      { listen: "127.0.0.1:0" },
      { listen: "[::1]:0" },
      { listen: "localhost:0" },
      { listen: "0.0.0.0:0", open: true },
      { listen: "0.0.0.0:0", allowPlain: true },
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- five quick checks
      expect((await compileConfig({ fleetKeyFile, ...extra })).listens).toHaveLength(1);
    }
  });

  it("hands out loopback addresses when open or only on loopback, unless told otherwise", async () => {
    expect(await allowed({})).toBe(false);
    expect(await allowed({ listen: "127.0.0.1:0" })).toBe(true);
    expect(await allowed({ listen: "0.0.0.0:0", allowPlain: true })).toBe(false);
    expect(await allowed({ open: true })).toBe(true);
    expect(await allowed({ open: true, allowLoopback: false })).toBe(false);
    expect(await allowed({ allowLoopback: true })).toBe(true);
  });
});
