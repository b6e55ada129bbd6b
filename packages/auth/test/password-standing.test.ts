import { expect, it } from "vitest";
import { PasswordStanding } from "../src/client/password-standing.js";

const MINUTE_MS = 60_000;

it("a refused password may be tried again at the next check, then once a day", () => {
  const standing = new PasswordStanding();
  expect([standing.mayTry(0), standing.isProven]).toEqual([true, false]);
  standing.refused(0);
  expect([standing.mayTry(13 * MINUTE_MS), standing.mayTry(15 * MINUTE_MS)]).toEqual([false, true]);
  standing.refused(15 * MINUTE_MS);
  const day = 15 * MINUTE_MS + 24 * 60 * MINUTE_MS;
  expect([standing.mayTry(day - 1), standing.mayTry(day)]).toEqual([false, true]);
  standing.refused(day);
  expect(standing.mayTry(day + 12 * 60 * MINUTE_MS)).toBe(false);
});

it("a password that was right before may be tried once an hour", () => {
  const standing = new PasswordStanding();
  standing.accepted();
  standing.refused(0);
  standing.refused(15 * MINUTE_MS);
  expect([standing.mayTry(74 * MINUTE_MS), standing.mayTry(75 * MINUTE_MS)]).toEqual([false, true]);
  standing.refused(75 * MINUTE_MS);
  expect([standing.mayTry(134 * MINUTE_MS), standing.mayTry(135 * MINUTE_MS)]).toEqual([false, true]);
  standing.reset();
  standing.refused(0);
  standing.refused(15 * MINUTE_MS);
  expect(standing.mayTry(75 * MINUTE_MS)).toBe(false);
});

it("requests that are refused together count once", () => {
  const standing = new PasswordStanding();
  standing.accepted();
  for (let i = 0; i < 6; i += 1) standing.refused(i);
  expect([standing.isProven, standing.mayTry(15 * MINUTE_MS)]).toEqual([false, true]);
});

it("an accepted password starts from nothing, and so does another one", () => {
  const standing = new PasswordStanding();
  standing.refused(0);
  standing.accepted();
  expect([standing.mayTry(0), standing.isProven]).toEqual([true, true]);
  standing.refused(0);
  standing.reset();
  expect([standing.mayTry(0), standing.isProven]).toEqual([true, false]);
});
