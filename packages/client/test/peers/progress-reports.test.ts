import { describe, expect, it } from "vitest";
import { progressReports } from "../../src/peers/progress-reports.js";
import { type ImageStatus, NO_RATE, type VersionStatus } from "../../src/status.js";

function version(number: number): VersionStatus {
  return {
    version: number,
    id: "00",
    state: "fetching",
    swarming: true,
    haveRows: 3,
    rows: 10,
    needed: 1000,
    bytes: { previous: 1, delta: 2, host: 3, peers: 4, origin: 5 },
    wasted: { rejected: 10, duplicate: 20, retried: 30, origin: 15 },
    rate: NO_RATE,
    peers: 7,
  };
}

const lastError = (code: "ERR_AUTH_FORBIDDEN" | "ERR_TIMEOUT") => ({ lastError: { code, message: "" } });

describe("what the tracker is told", () => {
  it("is how far the newest version of each image is, and nothing of those that may not be read", () => {
    const images: readonly ImageStatus[] = [
      { name: "a", versions: [version(2), version(1)] },
      { name: "barred", versions: [version(1)], ...lastError("ERR_AUTH_FORBIDDEN") },
      { name: "away", versions: [version(5)], ...lastError("ERR_TIMEOUT") },
      { name: "empty", versions: [] },
    ];
    const bytes = { previous: 1, delta: 2, host: 3, peers: 4, origin: 5, wasted: 60 };
    const report = { state: "fetching", have: 3, rows: 10, bytes };
    expect(progressReports(images)).toEqual([
      { image: "a", version: 2, ...report },
      { image: "away", version: 5, ...report },
    ]);
  });
});
