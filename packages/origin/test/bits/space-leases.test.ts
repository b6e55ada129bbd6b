import { beforeEach, describe, expect, it } from "vitest";
import {
  LEASE_GRACE_MS,
  LEASE_MS,
  LEASE_WHOLE_MS,
  SpaceLeases,
  type UploadRoom,
} from "../../src/bits/space-leases.js";

const TOTAL = 2400;
/** Most that an upload may be silent. */
const PAUSE = LEASE_MS - 1;

let leases: SpaceLeases;
beforeEach(() => {
  leases = new SpaceLeases();
});

function room(received: number, isBusy = false, id = "a", owner = "alice"): UploadRoom {
  return { id, owner, received, total: TOTAL, isBusy };
}

function promised(upload: UploadRoom, now: number): number {
  return leases.promisedBytes([upload], "other", now);
}

describe("room that was promised to an upload", () => {
  it("is kept for 15 minutes after a packet that brought something, and not after others", () => {
    leases.grant(room(0), 0);
    leases.renew(room(500), PAUSE);
    expect(promised(room(500), PAUSE + LEASE_MS - 1)).toBe(TOTAL - 500);
    leases.grant(room(500), PAUSE + LEASE_MS - 1);
    leases.renew(room(500), PAUSE + LEASE_MS - 1);
    expect(promised(room(500), PAUSE + LEASE_MS)).toBe(0);
    expect(promised(room(500, true), PAUSE + LEASE_MS), "a packet runs").toBe(TOTAL - 500);
  });

  it("lapses after an hour for whoever sends a byte now and then, also within one packet", () => {
    leases.grant(room(0), 0);
    let received = 0;
    let now = 0;
    while (now + PAUSE <= LEASE_GRACE_MS) {
      now += PAUSE;
      received += 1;
      leases.grant(room(received - 1), now);
      leases.renew(room(received), now);
      expect(promised(room(received), now)).toBe(TOTAL - received);
    }
    expect(promised(room(received, true), LEASE_GRACE_MS + 1)).toBe(0);
  });

  it("does not come again by asking after a short silence, but after one of an hour", () => {
    leases.grant(room(0), 0);
    for (let now = LEASE_MS; now <= 2 * LEASE_GRACE_MS; now += LEASE_MS) {
      expect(promised(room(1), now)).toBe(0);
      leases.grant(room(1), now);
    }
    expect(promised(room(1), 2 * LEASE_GRACE_MS + 1)).toBe(0);
    const later = 3 * LEASE_GRACE_MS + LEASE_MS;
    leases.grant(room(1), later);
    expect(promised(room(1), later)).toBe(TOTAL - 1);
  });

  it("is kept by whoever will be through within a day", () => {
    leases.grant(room(0), 0);
    const step = LEASE_WHOLE_MS / TOTAL;
    for (let received = 1; received < TOTAL; received += 1) {
      leases.renew(room(received), received * step);
      expect(promised(room(received), received * step)).toBe(TOTAL - received);
    }
  });

  it("is not held on by a user who begins a new upload whenever the hour of the last one is over", () => {
    const begin = (id: string, now: number, owner = "alice"): void => {
      leases.grant(room(0, false, id, owner), now);
      leases.renew(room(1, false, id, owner), now);
    };
    begin("0", 0);
    expect(promised(room(1, false, "0"), LEASE_MS - 1)).toBe(TOTAL - 1);
    for (let hour = 1; hour < 24; hour += 1) {
      const now = hour * LEASE_GRACE_MS + 1;
      begin(String(hour), now);
      // One part in 2400 is what 36 s of the day have to bring.
      expect(promised(room(1, false, String(hour)), now + 36_000)).toBe(TOTAL - 1);
      expect(promised(room(1, false, String(hour)), now + 36_001), `hour ${hour}`).toBe(0);
    }
    const later = 2 * LEASE_GRACE_MS;
    begin("bob's", later, "bob");
    expect(promised(room(1, false, "bob's", "bob"), later + 36_001), "of another user").toBe(TOTAL - 1);
    begin("next day", LEASE_WHOLE_MS);
    expect(promised(room(1, false, "next day"), LEASE_WHOLE_MS + 36_001)).toBe(TOTAL - 1);
  });

  it("stays when a later question fails, and goes when the first does", () => {
    leases.grant(room(0), 0)();
    expect(promised(room(0), 1)).toBe(0);
    leases.grant(room(0), LEASE_MS)();
    leases.grant(room(0), 0);
    leases.grant(room(0), 1)();
    expect(promised(room(0), 1)).toBe(TOTAL);
  });
});
