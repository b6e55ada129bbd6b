import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { whyNot } from "../testbed/foreign.js";
import { startKdc, type TicketServer } from "../testbed/testbed.js";

const reason = whyNot("the test KDC", ["kdc"]);

describe.skipIf(reason !== undefined)("the test KDC", () => {
  let kdc: TicketServer;
  beforeAll(async () => {
    kdc = await startKdc();
  });
  afterAll(() => kdc?.stop());

  it("gives each logon a cache of its own", async () => {
    const alice = await kdc.ticket("alice", "Alice-Pw1");
    const bob = await kdc.ticket("bob", "Bob-Pw1");
    expect(alice["KRB5CCNAME"]).not.toBe(bob["KRB5CCNAME"]);
  });

  it("refuses a wrong password", async () => {
    await expect(kdc.ticket("alice", "wrong")).rejects.toThrow("kinit");
  });

  it("leaves nothing behind", async () => {
    const other = await startKdc();
    expect(existsSync(other.folder)).toBe(true);
    await other.stop();
    expect(existsSync(other.folder)).toBe(false);
  });
});
