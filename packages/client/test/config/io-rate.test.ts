import { expect, it } from "vitest";
import { readSettings } from "../../src/config/client-settings.js";
import { clientConfigDefaults } from "../../src/config/config-schema.js";

const config = { ...clientConfigDefaults, origin: "https://origin.example/MEDVImages", store: "/store" };

it("ioRate is bytes per second of the disks, and off unless set", async () => {
  expect((await readSettings({ ...config, ioRate: "40MB/s" })).ioRate).toBe(40e6);
  expect((await readSettings(config)).ioRate).toBeUndefined();
  await expect(readSettings({ ...config, ioRate: "0" })).rejects.toMatchObject({
    code: "ERR_CONFIG_INVALID",
    message: expect.stringContaining("ioRate"),
  });
});
