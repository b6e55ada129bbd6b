import { describe, expect, it } from "vitest";
import { bitsSettings } from "../../src/bits/bits-settings.js";
import { type BitsConfig, bitsDefaults } from "../../src/config/bits-schema.js";

const settings = (bits: Partial<BitsConfig> = {}) => bitsSettings({ ...bitsDefaults, ...bits });

describe("the settings of uploads", () => {
  it("have IIS's defaults", () => {
    expect(settings()).toEqual({
      isEnabled: false,
      sessionTimeoutMs: 14 * 86_400_000,
      maxUploadBytes: 1_844_674_407_370_955,
      host: undefined,
      notification: undefined,
      maxSessionsPerUser: 50,
      cleanupMs: 12 * 3_600_000,
      stagingQuota: undefined,
      freeSpaceReserve: 1e9,
    });
  });

  it.each([
    [0, 60, 3_600_000],
    [1, 24, 86_400_000],
    [2, 360, 31_104_000_000],
  ])("take cleanup unit %i up to %i", (BITSCleanupUnits, BITSCleanupCount, ms) => {
    const bits = { BITSCleanupUseDefault: false, BITSCleanupUnits, BITSCleanupCount };
    expect(settings(bits).cleanupMs).toBe(ms);
    expect(() => settings({ ...bits, BITSCleanupCount: BITSCleanupCount + 1 })).toThrow(
      `bits.BITSCleanupCount is ${BITSCleanupCount + 1}, at most ${BITSCleanupCount}`,
    );
  });

  it.each([
    ["BITSMaximumUploadSize is 1844674407370956, at most", { BITSMaximumUploadSize: "1844674407370956" }],
    ["BITSServerNotificationType 1 needs", { BITSServerNotificationType: 1 }],
    ["give an absolute", { BITSServerNotificationType: 2, BITSServerNotificationURL: "handle.asp" }],
    ["give an absolute", { BITSServerNotificationType: 2, BITSServerNotificationURL: "ftp://x/" }],
    ["without credentials", { BITSServerNotificationType: 2, BITSServerNotificationURL: "http://a:b@x/" }],
  ])("refuse: %s", (message, bits) => {
    expect(() => settings(bits)).toThrow(message);
  });

  it("take sizes, and none for no limit", () => {
    expect(settings({ stagingQuota: "200GB", freeSpaceReserve: "" })).toMatchObject({
      stagingQuota: 200e9,
      freeSpaceReserve: 0,
    });
    expect(settings({ BITSMaximumUploadSize: "4294967296" }).maxUploadBytes).toBe(2 ** 32);
    expect(settings({ BITSSessionLimitEnable: false }).maxSessionsPerUser).toBeUndefined();
  });
});
