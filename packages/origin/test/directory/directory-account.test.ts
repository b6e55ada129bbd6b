import type { Entry } from "ldapts";
import { describe, expect, it } from "vitest";
import { readAccount } from "../../src/directory/directory-account.js";

const base = { dn: "CN=a,DC=x", sAMAccountName: "a", objectSid: Buffer.alloc(28), userAccountControl: "512" };

describe("readAccount", () => {
  it("reads when an account expires: FILETIME, with two ways to say never", () => {
    // 1970-01-01 is 11,644,473,600 s after 1601-01-01.
    expect(expiry("116444736000000000")).toBe(0);
    expect(expiry("133801632000000000")).toBe(Date.UTC(2025, 0, 1));
    expect(expiry("0")).toBe(undefined);
    expect(expiry("9223372036854775807")).toBe(undefined);
  });

  it("takes an account for enabled unless it is disabled or locked, by stored or computed flags", () => {
    expect(isEnabled({})).toBe(true);
    expect(isEnabled({ userAccountControl: "514" })).toBe(false);
    expect(isEnabled({ "msDS-User-Account-Control-Computed": "16" })).toBe(false);
    // Password expired: no matter to certificates and tickets.
    expect(isEnabled({ "msDS-User-Account-Control-Computed": "8388608" })).toBe(true);
  });

  it("finds none in an entry without name, SID or flags", () => {
    for (const attribute of ["sAMAccountName", "objectSid", "userAccountControl"]) {
      expect(readAccount({ ...base, [attribute]: [] })).toBe(undefined);
    }
  });
});

function expiry(accountExpires: string): number | undefined {
  return readAccount({ ...base, accountExpires })?.expiresAt;
}

function isEnabled(flags: Omit<Entry, "dn">): boolean | undefined {
  return readAccount({ ...base, ...flags })?.isEnabled;
}
