import { VirtualClock } from "@ckmesh/testkit";
import { expect, it } from "vitest";
import { ClientWatch, FETCHING_MS, RESTING_MS } from "../src/client-watch.js";
import { someStatus, someVersion } from "./client-status.js";

function watched(): {
  clock: VirtualClock;
  watch: ClientWatch;
  shown: string[];
  setState: (s: State) => void;
} {
  const clock = new VirtualClock();
  let state: State = "verified";
  const shown: string[] = [];
  const watch = new ClientWatch({ show: () => shown.push(state) }, clock);
  watch.look();
  watch.start({ status: () => someStatus(someVersion({ state })) });
  return { clock, watch, shown, setState: (s) => (state = s) };
}

type State = "verified" | "fetching";

it("looks twice a second while something is fetched, and every five seconds otherwise", () => {
  const { clock, watch, shown, setState } = watched();
  clock.advance(2 * RESTING_MS);
  expect(shown).toEqual(["verified", "verified", "verified"]);
  setState("fetching");
  watch.look();
  clock.advance(2 * FETCHING_MS);
  expect(shown.slice(3)).toEqual(["fetching", "fetching", "fetching"]);
});

it("reports nothing before it is started, nor after it was stopped", () => {
  const { clock, watch, shown } = watched();
  expect(shown).toEqual(["verified"]);
  watch.stop();
  watch.look();
  clock.advance(10 * RESTING_MS);
  expect(shown).toEqual(["verified"]);
});
