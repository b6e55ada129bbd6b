import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { Fields, isAppError } from "@ckmesh/core";
import { type ProcessUsage, processUsage } from "./process-usage.js";

const COMPLETE = new Set(["verified", "staged", "active"]);
const SOURCES = ["previous", "delta", "host", "peers", "origin"] as const;
const MAX_BYTES = Number.MAX_SAFE_INTEGER;

/** Moments of a client's first version, in this order; Unix ms. */
export const MILESTONES = ["ready", "head", "firstRow", "allRows", "verified"] as const;
export type Milestone = (typeof MILESTONES)[number];

/** What a client says of a version. */
export interface VersionCounts {
  readonly needed: number;
  /** Each row counted once, by how it came; `needed` when the version is complete. */
  readonly held: number;
  readonly origin: number;
  readonly wastedOrigin: number;
  readonly rejected: number;
}

/** A client process of a lab and what it printed (docs/json-output.md, and its log). */
export class BranchClient {
  readonly host: string;
  readonly store: string;
  /** By version, Unix ms: when its last proof was done, by the client's own log. */
  readonly verifiedAt = new Map<number, number>();
  readonly milestones = new Map<Milestone, number>();
  /** By version, as of the latest line, of which there is one in a second. */
  readonly counts = new Map<number, VersionCounts>();
  /** Messages of its problems and warnings, and what it printed that is no JSON. */
  readonly problems: string[] = [];
  /** The code of its `exit_error`. */
  exitError: string | undefined;
  startedAt = 0;
  child: ChildProcess | undefined;
  /** The exit code of the latest process; null when a signal ended it. */
  exited: Promise<number | null> = Promise.resolve(null);
  readonly #complete = new Set<number>();

  constructor(host: string, store: string) {
    this.host = host;
    this.store = store;
  }

  /** Follows a process, which may be the second one on the same store. */
  follow(child: ChildProcess, startedAt: number): void {
    this.child = child;
    this.startedAt = startedAt;
    this.exited = new Promise((resolve) => {
      child.once("close", resolve);
    });
    this.#read(child, "stdout", (line) => this.#onOutput(line));
    this.#read(child, "stderr", (line) => this.#onLog(line));
  }

  /** Verified, and its counts are final. */
  isComplete(version: number): boolean {
    return this.#complete.has(version) && this.verifiedAt.has(version);
  }

  get usage(): ProcessUsage | undefined {
    return processUsage(this.child?.pid);
  }

  /** Ends it as a crash would. */
  async kill(): Promise<void> {
    this.child?.kill("SIGKILL");
    await this.exited;
  }

  #read(child: ChildProcess, from: "stdout" | "stderr", use: (line: Fields) => void): void {
    const stream = child[from];
    if (stream === null) throw new Error(`unreachable: ${from} is no pipe`);
    const read = async (): Promise<void> => {
      for await (const text of createInterface({ input: stream })) {
        if (text.startsWith("{")) use(new Fields(JSON.parse(text), from));
        else this.problems.push(text);
      }
    };
    read().catch((err: unknown) => this.problems.push(isAppError(err) ? err.message : String(err)));
  }

  #onOutput(line: Fields): void {
    switch (line.string("type", 100)) {
      case "status":
        for (const image of line.list("images", 1000)) this.#count(new Fields(image, "image"));
        return;
      case "step":
        this.#onStep(line);
        return;
      case "exit_error":
        this.exitError = line.string("code", 100);
        this.problems.push(line.string("message", 10_000));
        return;
      default: // the summary repeats what is known
    }
  }

  #onStep(line: Fields): void {
    const event = line.string("event", 100);
    if (event === "ready") this.#reached("ready", Date.now());
    if (event === "problem") this.problems.push(line.string("message", 10_000));
    if (event !== "state") return;
    this.#count(line);
    if (COMPLETE.has(line.string("state", 100))) this.#complete.add(line.int("version", 1, MAX_BYTES));
  }

  #count(line: Fields): void {
    const [bytes, wasted] = [line.map("bytes"), line.map("wasted")];
    this.counts.set(line.int("version", 1, MAX_BYTES), {
      needed: line.int("needed", 0, MAX_BYTES),
      held: SOURCES.reduce((sum, source) => sum + bytes.int(source, 0, MAX_BYTES), 0),
      origin: bytes.int("origin", 0, MAX_BYTES),
      wastedOrigin: wasted.int("origin", 0, MAX_BYTES),
      rejected: wasted.int("rejected", 0, MAX_BYTES),
    });
  }

  #onLog(line: Fields): void {
    const what = line.string("msg", 1000);
    if (line.string("level", 100) !== "info") this.problems.push(what);
    if (!line.has("version")) return;
    const at = Date.parse(line.string("time", 100));
    if (line.has("to")) {
      const to = line.string("to", 100);
      if (to === "fetching") this.#reached("head", at);
      if (to !== "verified") return;
      this.#reached("verified", at);
      this.verifiedAt.set(line.int("version", 1, MAX_BYTES), at);
    } else if (what === "first rows held") this.#reached("firstRow", at);
    else if (what === "all rows held") this.#reached("allRows", at);
  }

  /** Only the first time counts: what comes later belongs to an update or to a second process. */
  #reached(milestone: Milestone, at: number): void {
    if (!this.milestones.has(milestone)) this.milestones.set(milestone, at);
  }
}
