import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { fileURLToPath } from "node:url";
import { AppError, Fields } from "@ckmesh/core";
import { toAppError } from "../failure.js";

/** A line longer than this is no line of ours. */
const MAX_LINE_CHARS = 1024 * 1024;
const STOP_GRACE_MS = 10_000;
const ERROR_TAIL_CHARS = 2000;

/** Processes run what was built: Node 20 does not load the sources. */
const MAIN = fileURLToPath(
  new URL(import.meta.url.includes("/src/") ? "../../bundle/bin/ckmesh.js" : "./ckmesh.js", import.meta.url),
);

type Line = Readonly<Record<string, unknown>>;

export interface CkmeshProcessOptions {
  /** Is called with each line of type `status`. */
  readonly onStatus?: (line: Fields) => void;
  /** Keeps what it writes to standard error. */
  readonly logFile?: string;
  /** Variables on top of this process's. */
  readonly env?: Readonly<Record<string, string>>;
}

/** One `ckmesh … --json` as a child process, its lines parsed as they come. */
export class CkmeshProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<number>;
  readonly #listeners = new Set<(line: Line | undefined) => void>();
  readonly #lines: Line[] = [];
  readonly #onStatus: ((line: Fields) => void) | undefined;
  #rest = "";
  #errorTail = "";
  #hasExited = false;

  constructor(name: string, args: readonly string[], options: CkmeshProcessOptions = {}) {
    this.name = name;
    this.#onStatus = options.onStatus;
    const log =
      options.logFile === undefined ? undefined : createWriteStream(options.logFile, { flags: "a" });
    // The channel ends with this process, however it ends: the child then stops by itself.
    this.#child = spawn(process.execPath, [MAIN, ...args, "--json"], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: { ...process.env, ...options.env },
      // Its own group: Ctrl-C reaches this process alone, which then stops the children in order.
      detached: process.platform !== "win32",
    });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => this.#read(text));
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#errorTail = (this.#errorTail + text).slice(-ERROR_TAIL_CHARS);
      log?.write(text);
    });
    this.#exited = new Promise((resolve) => {
      const end = (code: number): void => {
        this.#hasExited = true;
        log?.end();
        for (const listener of this.#listeners) listener(undefined);
        resolve(code);
      };
      this.#child.once("error", () => end(1));
      this.#child.once("close", (code) => end(code ?? 1));
    });
  }

  /** Undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The newest line for which `matches`; of type `status` only the newest is known. */
  findLast(matches: (line: Line) => boolean): Line | undefined {
    return this.#lines.findLast(matches);
  }

  /**
   * The first line, past or to come, for which `matches`.
   * @throws {AppError} ERR_INTERNAL when the process ends before it, ERR_ABORTED by `signal`
   */
  async waitFor(matches: (line: Line) => boolean, signal: AbortSignal): Promise<Line> {
    const found = this.#lines.find(matches);
    if (found !== undefined) return found;
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        this.#listeners.delete(listener);
        signal.removeEventListener("abort", onAbort);
        settle();
      };
      const listener = (line: Line | undefined): void => {
        if (line === undefined) finish(() => reject(this.#endedEarly()));
        else if (matches(line)) finish(() => resolve(line));
      };
      const onAbort = (): void => finish(() => reject(toAppError(signal.reason)));
      if (this.#hasExited) {
        reject(this.#endedEarly());
        return;
      }
      if (signal.aborted) {
        onAbort();
        return;
      }
      signal.addEventListener("abort", onAbort);
      this.#listeners.add(listener);
    });
  }

  /**
   * Waits for its last line.
   * @throws {AppError} ERR_INTERNAL when it ends without, ERR_ABORTED by `signal`
   */
  async done(signal: AbortSignal): Promise<Line> {
    return this.waitFor((line) => line["type"] === "summary", signal);
  }

  /** Ends it at once, as a power cut would; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  /** Asks it to end, and makes it end when it does not. */
  async stop(): Promise<void> {
    if (!this.#hasExited) this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_GRACE_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = (lines.pop() ?? "").slice(0, MAX_LINE_CHARS);
    for (const candidate of lines) {
      const line = parseLine(candidate);
      if (line === undefined) continue;
      // Of the many status lines only the newest counts.
      if (line["type"] === "status") {
        const at = this.#lines.findIndex((old) => old["type"] === "status");
        if (at >= 0) this.#lines.splice(at, 1);
        this.#onStatus?.(new Fields(line, "status", "ERR_INTERNAL"));
      }
      this.#lines.push(line);
      for (const listener of this.#listeners) listener(line);
    }
  }

  #endedEarly(): AppError {
    const failure = this.findLast((line) => line["type"] === "exit_error");
    const why = failure === undefined ? this.#errorTail.trim() : String(failure["message"]);
    return new AppError(
      "ERR_INTERNAL",
      `${this.name} ended with ${this.#child.exitCode ?? "a signal"}: ${why}`,
    );
  }
}

function parseLine(text: string): Line | undefined {
  if (text.length > MAX_LINE_CHARS || !text.startsWith("{")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    const fields = new Fields(value, "line");
    fields.string("type", 40);
    return Object.fromEntries(Object.entries(Object(value)));
  } catch {
    // Not a line of ours: a warning of Node, for example.
    return undefined;
  }
}
