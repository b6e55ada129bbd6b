import { formatBytes, formatDuration } from "@ckmesh/core";
import cliProgress, { type SingleBar } from "cli-progress";
import type { ProgressReport } from "./output.js";
import type { RateMeter } from "./rate-meter.js";

/** One bar on a terminal: percent, bytes, rate, time left. */
export class ProgressBar {
  readonly #stream: NodeJS.WritableStream;
  #bar: SingleBar | undefined;

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
  }

  show(report: ProgressReport, meter: RateMeter): void {
    const isMoving = report.bytesDone < report.bytesTotal && meter.bytesPerSec > 0;
    const eta = isMoving ? meter.etaSeconds(report.bytesTotal) : undefined;
    const payload = {
      phase: report.phase,
      done: formatBytes(report.bytesDone),
      of: formatBytes(report.bytesTotal),
      rate: meter.bytesPerSec > 0 ? `${formatBytes(Math.round(meter.bytesPerSec))}/s` : "",
      left: eta === undefined ? "" : `${formatDuration(eta * 1000)} left`,
      note: report.note ?? "",
    };
    if (this.#bar === undefined) {
      this.#bar = new cliProgress.SingleBar(
        {
          format: "{phase} [{bar}] {percentage} %  {done} of {of}  {rate}  {left}  {note}",
          formatBar: (progress, options) =>
            cliProgress.Format.BarFormat(progress, { ...options, barsize: 24 }),
          stream: this.#stream,
          fps: 5,
          hideCursor: true,
          clearOnComplete: true,
          gracefulExit: false,
          emptyOnZero: true,
        },
        cliProgress.Presets.shades_classic,
      );
      this.#bar.start(report.bytesTotal, report.bytesDone, payload);
    } else {
      this.#bar.setTotal(report.bytesTotal);
      this.#bar.update(report.bytesDone, payload);
    }
  }

  /** Clears the line; the next `show` draws it again. */
  hide(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
