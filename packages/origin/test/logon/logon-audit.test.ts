import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { LogonAudit } from "../../src/logon/logon-audit.js";
import type { AuditEntry } from "../../src/logs/audit-log.js";

function make() {
  const clock = new VirtualClock();
  const lines: AuditEntry[] = [];
  const audit = new LogonAudit({ write: (entry) => lines.push(entry) }, clock);
  const fail = (user: string): void =>
    audit.failed({
      user,
      address: "10.0.0.1",
      method: "basic",
      status: 401,
      subStatus: 1,
      reason: "wrong password",
    });
  return { clock, lines, audit, fail };
}

describe("the audit of logons", () => {
  it("counts what repeats within a minute, and says so with the next line", () => {
    const { clock, lines, fail } = make();
    for (let i = 0; i < 5; i += 1) fail("alice");
    expect(lines).toHaveLength(1);
    clock.advance(60_000);
    fail("alice");
    expect(lines[1]).toMatchObject({ user: "alice", repeated: 4 });
  });

  it("writes a thousand different lines at once, then one a second, and tells of those it left out", () => {
    const { clock, lines, fail } = make();
    for (let i = 0; i < 100_000; i += 1) fail(`user${i}`);
    expect(lines).toHaveLength(1000);
    clock.advance(1000);
    fail("late");
    expect(lines[1000]).toMatchObject({ user: "late", dropped: 99_000 });
    clock.advance(86_400_000);
    for (let i = 0; i < 5000; i += 1) fail(`again${i}`);
    expect(lines).toHaveLength(2001);
  });

  it("keeps room for logons that succeed while others fail", () => {
    const { lines, audit, fail } = make();
    for (let i = 0; i < 2000; i += 1) fail(`user${i}`);
    audit.succeeded({ user: "MEDV\\alice", address: "10.0.0.2", method: "negotiate" });
    expect(lines.at(-1)).toEqual({
      action: "logon",
      outcome: "success",
      user: "MEDV\\alice",
      address: "10.0.0.2",
      method: "negotiate",
    });
  });

  it("cuts names that are no names", () => {
    const { lines, fail } = make();
    fail("x".repeat(10_000));
    expect(lines[0]).toMatchObject({ user: "x".repeat(256) });
  });
});
