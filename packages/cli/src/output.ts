import { type AppError, formatBytes, formatDuration } from "@ckmesh/core";
import { adviceFor } from "./advice.js";
import { type ExitCode, exitCodeOf } from "./exit-codes.js";
import { failureText } from "./failure.js";
import type { ProgressBar } from "./progress-bar.js";
import { RateMeter } from "./rate-meter.js";
import type { Terminal } from "./terminal.js";

/** How a command reports: for people, as NDJSON, or only its last line. */
export interface OutputMode {
  readonly json: boolean;
  readonly quiet: boolean;
}

/** How far a long step is. */
export interface ProgressReport {
  /** What is going on, in a word or two: `packing`. */
  readonly phase: string;
  readonly bytesDone: number;
  readonly bytesTotal: number;
  /** Further facts of this command: merged into the JSON line. */
  readonly fields?: Readonly<Record<string, unknown>>;
  /** Further text for people, after the rate. */
  readonly note?: string;
}

/** Distance between two status lines, ms. */
const JSON_EVERY_MS = 1000;
const PLAIN_EVERY_MS = 5000;

/** Everything that a command says. The JSON lines are API: docs/json-output.md. */
export class Output {
  readonly mode: OutputMode;
  readonly #terminal: Terminal;
  readonly #bar: ProgressBar | undefined;
  #meter = new RateMeter();
  #phase: string | undefined;
  #isEndShown = false;
  #lastStatusAt = Number.NEGATIVE_INFINITY;

  constructor(mode: OutputMode, terminal: Terminal, bar?: ProgressBar) {
    this.mode = mode;
    this.#terminal = terminal;
    this.#bar = bar;
  }

  /** May be called as often as wanted: shows a line or moves the bar now and then. */
  progress(report: ProgressReport): void {
    const now = this.#terminal.now();
    const isNewPhase = report.phase !== this.#phase;
    if (isNewPhase) {
      this.#phase = report.phase;
      this.#isEndShown = false;
      this.#meter = new RateMeter();
    }
    this.#meter.add(report.bytesDone, now);
    if (this.mode.quiet) return;
    if (this.#bar !== undefined) {
      this.#bar.show(report, this.#meter);
      return;
    }
    const isEnd = report.bytesDone >= report.bytesTotal && !this.#isEndShown;
    const every = this.mode.json ? JSON_EVERY_MS : PLAIN_EVERY_MS;
    if (!isNewPhase && !isEnd && now - this.#lastStatusAt < every) return;
    this.#isEndShown ||= isEnd;
    this.#lastStatusAt = now;
    if (this.mode.json) this.#json({ type: "status", ...statusFields(report, this.#meter) });
    else this.#terminal.err(`${progressLine(report, this.#meter)}\n`);
  }

  /** The long step is over: the next progress begins anew. */
  endProgress(): void {
    this.#phase = undefined;
    this.#bar?.hide();
  }

  /** One thing that happened. `event` is API, `text` is prose. */
  step(event: string, text: string, fields: Readonly<Record<string, unknown>> = {}): void {
    if (this.mode.quiet) return;
    this.#bar?.hide();
    if (this.mode.json) this.#json({ type: "step", event, ...fields });
    else this.#terminal.err(`${text}\n`);
  }

  /** The result: for people `lines` (the last one alone when quiet), else one JSON line. */
  summary(lines: readonly string[], fields: Readonly<Record<string, unknown>>): void {
    this.#bar?.hide();
    if (this.mode.json) this.#json({ type: "summary", ...fields });
    else this.#terminal.out(`${(this.mode.quiet ? lines.slice(-1) : lines).join("\n")}\n`);
  }

  /** Says why the command failed and what to do; returns the exit code. */
  failure(error: AppError, exitCode: ExitCode = exitCodeOf(error.code)): ExitCode {
    this.#bar?.hide();
    const advice = adviceFor(error.code);
    if (this.mode.json) {
      this.#json({
        type: "exit_error",
        code: error.code,
        exitCode,
        message: failureText(error),
        ...(advice === undefined ? {} : { advice }),
        details: error.details,
      });
    } else {
      this.#terminal.err(`ckmesh: ${failureText(error)} (${error.code})\n`);
      if (advice !== undefined && !this.mode.quiet) this.#terminal.err(`  ${advice}\n`);
    }
    return exitCode;
  }

  /** Takes the bar off the screen. */
  close(): void {
    this.#bar?.hide();
  }

  #json(line: Readonly<Record<string, unknown>>): void {
    this.#terminal.out(`${JSON.stringify(line)}\n`);
  }
}

function statusFields(report: ProgressReport, meter: RateMeter): Readonly<Record<string, unknown>> {
  const eta = meter.etaSeconds(report.bytesTotal);
  return {
    phase: report.phase,
    bytesDone: report.bytesDone,
    bytesTotal: report.bytesTotal,
    bytesPerSec: Math.round(meter.bytesPerSec),
    etaSeconds: eta === undefined ? null : Math.round(eta),
    ...report.fields,
  };
}

/** One line of progress for people. */
function progressLine(report: ProgressReport, meter: RateMeter): string {
  const percent = report.bytesTotal > 0 ? Math.floor((report.bytesDone / report.bytesTotal) * 100) : 100;
  const eta = meter.etaSeconds(report.bytesTotal);
  return [
    `${report.phase} ${percent} %`,
    `${formatBytes(report.bytesDone)} of ${formatBytes(report.bytesTotal)}`,
    meter.bytesPerSec > 0 ? `${formatBytes(Math.round(meter.bytesPerSec))}/s` : "",
    eta === undefined || report.bytesDone >= report.bytesTotal ? "" : `${formatDuration(eta * 1000)} left`,
    report.note ?? "",
  ]
    .filter((part) => part !== "")
    .join("  ");
}
