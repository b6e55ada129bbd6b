import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { AppError, type Clock } from "@ckmesh/core";

/** Program and arguments. */
export type HelperCommand = readonly [string, ...string[]];

/** Reads the answer to one request, line by line. */
export interface AnswerReader<T> {
  /**
   * @returns the answer, with its last line
   * @throws {Error} for what cannot stand in an answer: who reads on would take one answer for another
   */
  line(text: string): T | undefined;
}

export interface HelperProcessOptions {
  readonly clock: Clock;
  /** What a helper may say without being asked. */
  readonly isHarmless: (line: string) => boolean;
  /** Called once, however it ended; `reason` is for the log. `isLate`: it ran, but one answer took too long. */
  readonly onEnd: (helper: HelperProcess, reason: string, isLate: boolean) => void;
}

/** Longest wait for an answer (windows-auth section 6). */
const ANSWER_MS = 5000;
const MAX_LINE_CHARS = 8192;
/** Lines of one answer; real ones have at most five. */
const MAX_ANSWER_LINES = 32;
/** Lines without a request; an answer to nobody must not become that of the next request. */
const MAX_UNASKED_LINES = 32;
const MAX_COMPLAINT_CHARS = 300;

interface Question {
  readonly line: (text: string) => void;
  readonly fail: (reason: string) => void;
}

/**
 * One helper program that is asked on its standard input and answers on its standard output, one request at a
 * time. It is killed when it answers late, answers what cannot be an answer, or speaks unasked.
 */
export class HelperProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #options: HelperProcessOptions;
  #text = "";
  #complaint = "";
  #question: Question | undefined;
  #unasked = 0;
  #isEnded = false;

  constructor(command: HelperCommand, options: HelperProcessOptions) {
    this.#options = options;
    const [program, ...args] = command;
    this.#child = spawn(program, args, { stdio: "pipe", windowsHide: true });
    const { stdin, stdout, stderr } = this.#child;
    this.#child.on("error", (err) => this.#end(err.message));
    this.#child.on("exit", (code, signal) => this.#end(`it ended with ${signal ?? code}`));
    stdin.on("error", (err) => this.#end(err.message));
    stdout.on("error", (err) => this.#end(err.message));
    stdout.setEncoding("utf8").on("data", (text: string) => this.#receive(text));
    stdout.on("end", () => this.#end("it closed its output"));
    stderr.on("error", () => {}); // what it complains of is nice to have
    stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#complaint = `${this.#complaint}${text}`.slice(-MAX_COMPLAINT_CHARS);
    });
  }

  get isAlive(): boolean {
    return !this.#isEnded;
  }

  /**
   * @param request whole, with its last line end
   * @throws {AppError} ERR_AUTH_UNAVAILABLE; the process is then ended
   */
  async ask<T>(request: string, reader: AnswerReader<T>): Promise<T> {
    if (this.#question !== undefined) throw new Error("unreachable: a helper is asked one thing at a time");
    if (this.#isEnded) throw failed("it has ended");
    let lines = 0;
    const answer = new Promise<T>((resolve, reject) => {
      this.#question = {
        fail: (reason) => reject(failed(reason)),
        line: (text) => {
          lines += 1;
          if (lines > MAX_ANSWER_LINES) throw new Error("its answer does not end");
          const complete = reader.line(text);
          if (complete === undefined) return;
          this.#question = undefined;
          resolve(complete);
        },
      };
    });
    this.#child.stdin.write(request);
    const cancel = this.#options.clock.after(ANSWER_MS, () =>
      this.#end(`no answer within ${ANSWER_MS / 1000} s`, true),
    );
    try {
      return await answer;
    } finally {
      cancel();
      this.#question = undefined;
      this.#unasked = 0;
    }
  }

  end(): void {
    this.#end("stopped");
  }

  #receive(text: string): void {
    if (this.#isEnded) return;
    const lines = `${this.#text}${text}`.split("\n");
    this.#text = lines.pop() ?? "";
    try {
      for (const line of lines) this.#take(line.replace(/\r$/, ""));
      if (this.#text.length > MAX_LINE_CHARS) throw new Error("a line without end");
    } catch (err) {
      this.#end(err instanceof Error ? err.message : String(err));
    }
  }

  #take(line: string): void {
    if (this.#question !== undefined) {
      this.#question.line(line);
      return;
    }
    this.#unasked += 1;
    if (!this.#options.isHarmless(line) || this.#unasked > MAX_UNASKED_LINES)
      throw new Error("it spoke without being asked");
  }

  #end(reason: string, isLate = false): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#child.kill("SIGKILL");
    const complaint = this.#complaint.trim();
    const full = complaint === "" ? reason : `${reason} (${complaint})`;
    this.#question?.fail(reason);
    this.#options.onEnd(this, full, isLate);
  }
}

function failed(reason: string): AppError {
  return new AppError("ERR_AUTH_UNAVAILABLE", `a logon helper failed: ${reason}`);
}
