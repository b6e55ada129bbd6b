import { AppError } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { Output } from "../src/output.js";
import { memoryTerminal } from "./memory-terminal.js";

const report = (bytesDone: number) => ({ phase: "packing", bytesDone, bytesTotal: 1000 });

describe("Output for people", () => {
  it("writes results to standard output and everything else to standard error", () => {
    const terminal = memoryTerminal();
    const output = new Output({ json: false, quiet: false }, terminal);
    output.step("ready", "client runs");
    output.summary(["a", "b"], {});
    expect(terminal.stdout).toBe("a\nb\n");
    expect(terminal.stderr).toBe("client runs\n");
  });

  it("leaves only the last line when quiet", () => {
    const terminal = memoryTerminal();
    const output = new Output({ json: false, quiet: true }, terminal);
    output.progress(report(10));
    output.step("ready", "client runs");
    output.summary(["a", "b"], {});
    expect(terminal.stdout).toBe("b\n");
    expect(terminal.stderr).toBe("");
  });

  it("writes a progress line at the start, every 5 s and at the end, not more", () => {
    const terminal = memoryTerminal();
    const output = new Output({ json: false, quiet: false }, terminal);
    for (let second = 0; second <= 10; second += 1) {
      terminal.advance(1000);
      output.progress(report(second * 100));
    }
    output.progress(report(1000));
    expect(terminal.stderr.split("\n").map((line) => line.split("  ")[0])).toEqual([
      "packing 0 %",
      "packing 50 %",
      "packing 100 %",
      "",
    ]);
    expect(terminal.stderr).toContain("500 B of 1.0 kB  100 B/s  5.0 s left");
  });

  it("says what went wrong, its code, and what to do next", () => {
    const terminal = memoryTerminal();
    const output = new Output({ json: false, quiet: false }, terminal);
    const cause = new Error("connect ECONNREFUSED 127.0.0.1:1");
    const exit = output.failure(
      new AppError("ERR_ORIGIN_UNREACHABLE", "no answer from the origin", { cause }),
    );
    expect(exit).toBe(1);
    expect(terminal.stderr).toBe(
      "ckmesh: no answer from the origin: connect ECONNREFUSED 127.0.0.1:1 (ERR_ORIGIN_UNREACHABLE)\n" +
        "  check the address in --origin or --to, the certificate (--ca) and the network; `ckmesh doctor URL` looks at each\n",
    );
  });

  it("does not repeat a cause that its message already quotes", () => {
    const terminal = memoryTerminal();
    const cause = new Error("disk on fire");
    new Output({ json: false, quiet: true }, terminal).failure(
      new AppError("ERR_INTERNAL", "cannot read: disk on fire", { cause }),
    );
    expect(terminal.stderr).toBe("ckmesh: cannot read: disk on fire (ERR_INTERNAL)\n");
  });
});

describe("Output as JSON", () => {
  it("writes one object per line, all to standard output", () => {
    const terminal = memoryTerminal();
    const output = new Output({ json: true, quiet: false }, terminal);
    output.progress(report(0));
    terminal.advance(1000);
    output.progress(report(500));
    output.step("ready", "client runs", { peerPort: 7 });
    output.summary(["text"], { version: 1 });
    output.failure(new AppError("ERR_STORE_FULL", "no space", { details: { free: 0 } }));
    expect(terminal.stderr).toBe("");
    expect(
      terminal.stdout
        .trim()
        .split("\n")
        .map((line): unknown => JSON.parse(line)),
    ).toEqual([
      { type: "status", phase: "packing", bytesDone: 0, bytesTotal: 1000, bytesPerSec: 0, etaSeconds: null },
      { type: "status", phase: "packing", bytesDone: 500, bytesTotal: 1000, bytesPerSec: 500, etaSeconds: 1 },
      { type: "step", event: "ready", peerPort: 7 },
      { type: "summary", version: 1 },
      {
        type: "exit_error",
        code: "ERR_STORE_FULL",
        exitCode: 5,
        message: "no space",
        advice:
          "free space on that disk (of an upload: the origin's) and run again; what was transferred is kept",
        details: { free: 0 },
      },
    ]);
  });

  it("writes at most one status line a second", () => {
    const terminal = memoryTerminal();
    const output = new Output({ json: true, quiet: false }, terminal);
    for (let i = 0; i < 30; i += 1) {
      output.progress(report(i));
      terminal.advance(100);
    }
    expect(terminal.stdout.trim().split("\n")).toHaveLength(3);
  });

  it("leaves only the last line when quiet", () => {
    const terminal = memoryTerminal();
    const output = new Output({ json: true, quiet: true }, terminal);
    output.progress(report(0));
    output.step("ready", "client runs");
    output.summary(["text"], { version: 1 });
    expect(terminal.stdout).toBe('{"type":"summary","version":1}\n');
  });
});
