import { isAppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseClientStatus } from "../src/parse-client-status.js";
import { someStatus, someVersion } from "./client-status.js";

function refusal(value: unknown): unknown {
  try {
    parseClientStatus(value);
    return undefined;
  } catch (err) {
    return err;
  }
}

describe("parseClientStatus", () => {
  it("reads back what a client writes", () => {
    const status = {
      ...someStatus(
        someVersion({ swarming: "over plain HTTP", disk: "Win11_1.img" }),
        someVersion({ error: { code: "ERR_STORE_FULL", message: "no space" } }),
      ),
      lastError: { code: "ERR_TIMEOUT", message: "no answer" },
      wan: { mode: "rate", reason: "override", until: "2026-01-01T00:00:00.000Z", bytesPerSec: 2_500_000 },
    };
    expect(parseClientStatus(JSON.parse(JSON.stringify(status)))).toEqual(status);
  });

  it("takes a code that it does not know for an internal one", () => {
    const status = { ...someStatus(), lastError: { code: "ERR_FROM_THE_FUTURE", message: "x" } };
    expect(parseClientStatus(status).lastError).toEqual({ code: "ERR_INTERNAL", message: "x" });
  });

  it("refuses anything else with an AppError", () => {
    fc.assert(
      fc.property(fc.anything(), fc.constantFrom("store", "images", "running", "peerPort"), (value, key) => {
        expect(refusal(value)).toSatisfy((err) => isAppError(err, "ERR_INTERNAL"));
        const changed = refusal({ ...someStatus(someVersion()), [key]: value });
        expect(changed).toSatisfy((err) => err === undefined || isAppError(err, "ERR_INTERNAL"));
      }),
    );
  });

  it("refuses counts that are no counts", () => {
    for (const needed of ["-1", "1.5", '"7"', "1e300", "null"]) {
      const text = JSON.stringify(someStatus(someVersion())).replace('"needed":1000', `"needed":${needed}`);
      expect(refusal(JSON.parse(text))).toSatisfy((err) => isAppError(err, "ERR_INTERNAL"));
    }
  });
});
