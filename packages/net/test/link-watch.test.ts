import { VirtualClock } from "@ckmesh/testkit";
import { expect, it } from "vitest";
import { LINK_LIMITS } from "../src/link-limits.js";
import { type LinkProgress, LinkWatch } from "../src/link-watch.js";

const REST: LinkProgress = {
  handshakeSince: undefined,
  stuckSince: undefined,
  receivedAt: undefined,
  messageSince: undefined,
  askedSince: undefined,
  sentAt: 0,
};

interface Watched {
  readonly clock: VirtualClock;
  readonly looks: number[];
  readonly ended: string[];
  readonly keepAlives: number[];
  progress: LinkProgress;
}

function watched(limits = LINK_LIMITS): Watched {
  const clock = new VirtualClock();
  const found: Watched = { clock, looks: [], ended: [], keepAlives: [], progress: REST };
  const watch = new LinkWatch(
    clock,
    limits,
    () => {
      found.looks.push(clock.now());
      return found.progress;
    },
    (err) => {
      found.ended.push(`${clock.now()} ${err.message}`);
      watch.stop();
    },
    () => {
      found.keepAlives.push(clock.now());
      found.progress = { ...found.progress, sentAt: clock.now() };
    },
  );
  return found;
}

it("takes no more than three looks a minute at a link at rest, and keeps it alive in time", () => {
  const found = watched();
  found.progress = { ...REST, receivedAt: 0 };
  clockWithNews(found, 600_000);
  expect(found.looks.length).toBeLessThanOrEqual(31);
  expect(found.ended).toEqual([]);
  const gaps = found.keepAlives.map((at, i) => at - (found.keepAlives[i - 1] ?? 0));
  expect(gaps.length).toBeGreaterThan(0);
  expect(Math.max(...gaps)).toBeLessThanOrEqual(LINK_LIMITS.keepAliveMs + 1000);
});

const cases = [
  ["handshakeSince", LINK_LIMITS.handshakeMs, "did not finish its handshake"],
  ["stuckSince", LINK_LIMITS.drainMs, "did not read"],
  ["receivedAt", LINK_LIMITS.idleMs, "fell silent"],
  ["messageSince", LINK_LIMITS.messageMs, "did not finish a message"],
  ["askedSince", LINK_LIMITS.requestMs, "did not answer a request"],
] as const;

for (const [field, limitMs, text] of cases) {
  it(`ends a link that ${text} within a second of its deadline, whenever that began`, () => {
    for (const since of field === "handshakeSince" ? [0] : [0, 999, 1001, 29_500, 31_500, 70_000]) {
      const found = watched();
      found.clock.advance(since);
      found.progress = { ...found.progress, [field]: since };
      found.clock.advance(limitMs - 1);
      const early = found.ended.length;
      found.clock.advance(1001);
      expect([since, early, found.ended.length]).toEqual([since, 0, 1]);
      expect(found.ended[0]).toContain(text);
    }
  });
}

it("keeps a link alive when that is the shortest of its times", () => {
  const found = watched({ ...LINK_LIMITS, keepAliveMs: 2000 });
  found.clock.advance(10_500);
  expect(found.keepAlives).toEqual([2000, 4000, 6000, 8000, 10_000]);
});

/** The peer is heard every second. */
function clockWithNews(found: Watched, ms: number): void {
  for (let at = 0; at < ms; at += 1000) {
    found.clock.advance(1000);
    found.progress = { ...found.progress, receivedAt: found.clock.now() };
  }
}
