import { describe, expect, it } from "vitest";
import { ClientReporter, statusLines, wanText } from "../src/client-reporter.js";
import { Output } from "../src/output.js";
import { someStatus, someVersion } from "./client-status.js";
import { type MemoryTerminal, memoryTerminal } from "./memory-terminal.js";

function reporterOn(terminal: MemoryTerminal): ClientReporter {
  return new ClientReporter(new Output({ json: true, quiet: false }, terminal));
}

function eventsOf(terminal: MemoryTerminal): readonly string[] {
  return terminal.stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => Object.entries(Object(JSON.parse(line))))
    .map((entries) => entries.slice(0, 2).map(String).join(" "));
}

describe("ClientReporter", () => {
  it("tells each state of a version once", () => {
    const terminal = memoryTerminal();
    const reporter = reporterOn(terminal);
    reporter.show(someStatus(someVersion({ state: "verified" })));
    reporter.show(someStatus(someVersion({ state: "verified" })));
    reporter.show(someStatus(someVersion({ state: "active" })));
    expect(terminal.stdout.match(/"state":"\w+"/g)).toEqual(['"state":"verified"', '"state":"active"']);
  });

  it("adds up what is being fetched, by source", () => {
    const terminal = memoryTerminal();
    reporterOn(terminal).show(someStatus(someVersion({ version: 2 }), someVersion({ state: "active" })));
    expect(terminal.stdout).toContain(
      '{"type":"status","phase":"fetching","bytesDone":500,"bytesTotal":1000,"bytesPerSec":0,"etaSeconds":null,"images":[{"image":"Win11","version":2,',
    );
  });

  it("begins progress anew with the next version", () => {
    const terminal = memoryTerminal();
    const reporter = reporterOn(terminal);
    reporter.show(someStatus(someVersion()));
    reporter.show(someStatus(someVersion({ state: "active" })));
    reporter.show(someStatus(someVersion({ state: "active" }), someVersion({ version: 2 })));
    expect(eventsOf(terminal).filter((event) => event === "type,status phase,fetching")).toHaveLength(2);
  });

  it("tells a problem once, and again when it comes back", () => {
    const terminal = memoryTerminal();
    const reporter = reporterOn(terminal);
    const broken = { ...someStatus(), lastError: { code: "ERR_TIMEOUT", message: "no answer" } } as const;
    for (const status of [broken, broken, someStatus(), broken]) reporter.show(status);
    expect(terminal.stdout.match(/no answer \(ERR_TIMEOUT\)/g)).toHaveLength(2);
  });
});

describe("statusLines", () => {
  it("shows what the publisher lets this machine do with a version", () => {
    const withdrawn = someVersion({ clearance: { type: "withdrawn", reason: "does not boot" } });
    const early = someVersion({ clearance: { type: "prefetch", until: "2026-01-01T00:00:00.000Z" } });
    const text = statusLines(someStatus(withdrawn, early)).join("\n");
    expect(text).toContain("withdrawn: does not boot");
    expect(text).toContain("becomes active at 2026-01-01T00:00:00.000Z");
  });

  it("shows where the bytes of a version came from, what was wasted, and errors", () => {
    const version = someVersion({
      wasted: { rejected: 1000, duplicate: 0, retried: 500, origin: 500 },
      error: { code: "ERR_STORE_FULL", message: "no space" },
    });
    expect(statusLines(someStatus(version))).toEqual([
      "Win11  active none, policy auto",
      "  version 1  fetching  peers 100 B, origin 400 B  wasted 1.5 kB  2 peers  no space (ERR_STORE_FULL)",
      "1 image, 0 active; client running, next check 2026-01-01T00:00:00.000Z",
    ]);
  });

  it("says when nobody can connect", () => {
    expect(statusLines({ ...someStatus(), inbound: "none" })).toContain(
      "no peer has ever connected here: does a firewall block TCP port 7650?",
    );
  });

  it("say what may come over the WAN, why and until when", () => {
    const until = "2026-01-01T18:00:00.000Z";
    expect(wanText({ mode: "full", reason: "configuration" })).toBe("WAN: full (configuration)");
    expect(wanText({ mode: "off", reason: "timetable", until })).toBe(`WAN: off (timetable) until ${until}`);
    expect(wanText({ mode: "rate", reason: "override", until, bytesPerSec: 2_500_000 })).toBe(
      `WAN: limited (override) until ${until}, at most 20.0 Mbit/s for the site`,
    );
    expect(wanText({ mode: "full", reason: "configuration", yieldingTo: 500_000 })).toBe(
      "WAN: full (configuration), others use the link: at 4.0 Mbit/s",
    );
  });
});
