import { describe, expect, it } from "vitest";
import { ReportBoard, type StoredReport } from "../src/report-board.js";

function report(peerId: string, image: string, origin = 0): StoredReport {
  return {
    peerId,
    image,
    version: 1,
    user: "alice",
    site: "Berlin",
    state: "fetching",
    have: 0,
    rows: 1,
    receivedAt: 0,
    bytes: { previous: 0, delta: 0, host: 0, peers: 0, origin, wasted: 0 },
  };
}

describe("ReportBoard", () => {
  it("keeps the last report of each peer and image", () => {
    const board = new ReportBoard(10);
    for (const origin of [1, 2, 3]) board.put(report("a", "xp", origin));
    board.put(report("b", "xp", 10));
    board.put(report("a", "vista", 100));
    expect(board.size).toBe(3);
    expect(board.all()).toHaveLength(3);
    expect(board.totals()).toMatchObject({ origin: 113, peers: 0 });
  });

  it("lets the peer go that was silent longest", () => {
    const board = new ReportBoard(2);
    for (const peer of ["a", "b", "a", "c"]) board.put(report(peer, "xp"));
    expect(board.all().map((r) => r.peerId)).toEqual(["a", "c"]);
    expect(board.size).toBe(2);
  });

  it("does not let one peer push the others out", () => {
    const board = new ReportBoard(40);
    board.put(report("honest", "xp"));
    for (let i = 0; i < 1_000; i += 1) board.put(report("hostile", `image-${i}`));
    expect(board.size).toBe(33);
    expect(board.all()[0]?.peerId).toBe("honest");
  });
});
