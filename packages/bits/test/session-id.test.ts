import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatSessionId, SESSION_ID_BYTES, sessionKey } from "../src/index.js";

describe("a session id", () => {
  it("is a version 4 GUID in braces, upper case, whatever the random bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: SESSION_ID_BYTES, maxLength: SESSION_ID_BYTES }), (random) => {
        expect(formatSessionId(random)).toMatch(
          /^\{[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}\}$/,
        );
      }),
    );
  });

  it("keeps 122 bits of the random bytes", () => {
    expect(formatSessionId(new Uint8Array(16))).toBe("{00000000-0000-4000-8000-000000000000}");
    expect(formatSessionId(new Uint8Array(16).fill(255))).toBe("{FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF}");
  });

  it("has one key for every spelling", () => {
    const key = "7df0354d-249b-430f-820d-3d2a9bef4931";
    for (const id of [key, `{${key}}`, key.toUpperCase(), `{${key.toUpperCase()}}`]) {
      expect(sessionKey(id)).toBe(key);
    }
  });

  it.each([
    "",
    "{}",
    "7df0354d-249b-430f-820d-3d2a9bef493",
    "{7df0354d-249b-430f-820d-3d2a9bef4931",
    "7df0354d-249b-430f-820d-3d2a9bef4931}",
    "{7df0354d-249b-430f-820d-3d2a9bef4931}, {7df0354d-249b-430f-820d-3d2a9bef4931}",
    "../../../../etc/passwd",
    "{7df0354d-249b-430f-820d-3d2a9bef4931}\n",
    "x".repeat(4096),
  ])("has no key when it is %j", (id) => {
    expect(sessionKey(id)).toBeUndefined();
  });
});
