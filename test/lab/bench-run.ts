import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import type { Milestone } from "./branch-client.js";

/** What is measured: one system, one case, one setting of the lab. Equal keys are repetitions. */
export interface BenchKey {
  readonly system: string;
  readonly case: string;
  /** One way, ms. */
  readonly delayMs: number;
  readonly mib: number;
}

/** Smallest, middle and largest of the clients. */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** What one run gave. Times are seconds. */
export interface Measured {
  /** At the WAN shaper, headers included. */
  readonly wanDownBytes: number;
  readonly wanUpBytes: number;
  /** What the case has to bring to the site once. */
  readonly siteBytes: number;
  /** `wanDownBytes` over `siteBytes`. */
  readonly copies: number;
  /** Seconds that `siteBytes` take at the rate that the case is compared with. */
  readonly boundSeconds: number;
  /** Slowest client. */
  readonly seconds: number;
  readonly completed: number;
  readonly expected: number;
  /** Of all cores while it ran, other programs included: near 100, and the figures measure the CPU. */
  readonly cpuPercent: number;
  /** User and system time of all clients that were alive at the end. */
  readonly clientsCpuSeconds: number;
  /** Largest of the clients. */
  readonly rssPeakMib: number;
  /** Of each client that completed, ascending. */
  readonly times: readonly number[];
  /** Ours: bytes that clients say came over the WAN, used or not, over `siteBytes`; no headers. */
  readonly payloadCopies?: number;
  /** Ours: for every client the sources of its bytes add up to what it needed. */
  readonly areSourcesWhole?: boolean;
  /** Ours: from process start. */
  readonly phases?: Readonly<Partial<Record<Milestone, Spread>>>;
}

export type BenchRun = BenchKey & Measured & { readonly at: string };

/** What the figures depend on. */
export interface BenchEnvironment {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly node: string;
  readonly commit: string;
  /** By system: its version. */
  readonly rivals: Readonly<Record<string, string>>;
}

interface Content {
  readonly environment: BenchEnvironment;
  readonly runs: readonly BenchRun[];
}

/** The single runs of a bench in a file, whole after every run: a bench that was stopped goes on. */
export class BenchFile {
  readonly #path: string;
  readonly environment: BenchEnvironment;
  readonly runs: BenchRun[];

  /** Takes over the runs of an earlier bench of the same machine and commit. */
  constructor(path: string, environment: BenchEnvironment) {
    this.#path = path;
    this.environment = environment;
    const old = existsSync(path) ? readContent(path) : undefined;
    if (
      old !== undefined &&
      (old.environment.commit !== environment.commit || old.environment.cpu !== environment.cpu)
    ) {
      throw new Error(
        `${path} holds runs of commit ${old.environment.commit} on ${old.environment.cpu}: give another --out, or --fresh`,
      );
    }
    this.runs = [...(old?.runs ?? [])];
  }

  /** How many runs of this there are. */
  count(key: BenchKey): number {
    return this.of(key).length;
  }

  of(key: BenchKey): readonly BenchRun[] {
    return this.runs.filter(
      (r) => r.system === key.system && r.case === key.case && r.delayMs === key.delayMs && r.mib === key.mib,
    );
  }

  add(run: BenchRun): void {
    this.runs.push(run);
    writeFileSync(
      `${this.#path}.new`,
      `${JSON.stringify({ environment: this.environment, runs: this.runs }, null, 1)}\n`,
    );
    renameSync(`${this.#path}.new`, this.#path);
  }
}

function readContent(path: string): Content {
  // Our own file: a damaged one shows itself as a figure that is missing.
  const content: Content = JSON.parse(readFileSync(path, "utf8"));
  return content;
}

export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor((numbers.length - 1) / 2)] ?? Number.NaN;
}

export function spread(numbers: readonly number[]): Spread {
  return { min: Math.min(...numbers), median: median(numbers), max: Math.max(...numbers) };
}
