import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, describeError, type Logger } from "@ckmesh/core";

/** One answered request, with IIS's meanings. */
export interface W3cEntry {
  readonly serverAddress: string;
  readonly serverPort: number;
  readonly method: string;
  /** Request target as received. */
  readonly target: string;
  /** Undefined = anonymous. */
  readonly user: string | undefined;
  readonly clientAddress: string;
  readonly userAgent: string | undefined;
  readonly status: number;
  readonly subStatus: number;
  /** Sent, all of the answer. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly ms: number;
  /** What the client says of itself: site label and number of the span; undefined where it is neither. */
  readonly site: string | undefined;
  readonly span: number | undefined;
}

const FIELDS =
  "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) " +
  "sc-status sc-substatus sc-win32-status sc-bytes cs-bytes time-taken " +
  "cs(X-Ckmesh-Site) cs(X-Ckmesh-Span)";
const FLUSH_MS = 1000;
/** Lines that wait for the disk; more are dropped and counted. */
const MAX_PENDING_CHARS = 4 * 1024 * 1024;
const MAX_TEXT_LENGTH = 2048;

/** W3C extended log, one file per UTC day named as IIS names it (`u_exYYMMDD.log`). */
export class W3cLog {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #pending = new Map<string, string[]>();
  #pendingChars = 0;
  #dropped = 0;
  #cancelFlush: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isFailing = false;
  /** The file that bears the fields of this program already; an earlier one may have had others. */
  #headed = "";
  #isClosed = false;

  constructor(directory: string, clock: Clock, logger: Logger) {
    this.#directory = directory;
    this.#clock = clock;
    this.#logger = logger;
  }

  write(entry: W3cEntry): void {
    if (this.#isClosed) return;
    const [date, time] = dateAndTime(this.#clock.wall());
    const line = formatEntry(entry, date, time);
    if (this.#pendingChars + line.length > MAX_PENDING_CHARS) {
      this.#dropped += 1;
      return;
    }
    const file = `u_ex${date.slice(2).replaceAll("-", "")}.log`;
    const lines = this.#pending.get(file) ?? [];
    lines.push(line);
    this.#pending.set(file, lines);
    this.#pendingChars += line.length;
    this.#cancelFlush ??= this.#clock.after(FLUSH_MS, () => {
      this.#cancelFlush = undefined;
      this.#flush();
    });
  }

  /** Writes what waits; later entries are dropped. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    this.#flush();
    await this.#writing;
  }

  #flush(): void {
    const pending = this.#pending;
    this.#pending = new Map();
    this.#pendingChars = 0;
    this.#writing = this.#writing.then(() => this.#append(pending));
  }

  async #append(pending: ReadonlyMap<string, readonly string[]>): Promise<void> {
    try {
      await mkdir(this.#directory, { recursive: true });
      for (const [file, lines] of pending) await this.#appendLines(file, lines); // oxlint-disable-line no-await-in-loop -- one file, two at midnight
      if (this.#isFailing) this.#logger.info({ dropped: this.#dropped }, "request log works again");
      this.#isFailing = false;
    } catch (err) {
      // The log must not stop the service: said once, then the lines of this second are lost.
      if (!this.#isFailing)
        this.#logger.error({ err, reason: describeError(err) }, "cannot write the request log");
      this.#isFailing = true;
    }
  }

  async #appendLines(name: string, lines: readonly string[]): Promise<void> {
    const file = await open(join(this.#directory, name), "a", 0o640);
    try {
      const { size } = await file.stat();
      const isNew = size === 0 || this.#headed !== name;
      const header = isNew ? `#Software: ckmesh\n#Version: 1.0\n#Fields: ${FIELDS}\n` : "";
      await file.appendFile(header + lines.join(""));
      this.#headed = name;
    } finally {
      await file.close();
    }
  }
}

/** The line of an entry. Fields cannot be left: no spaces or line ends survive within them. */
export function formatEntry(entry: W3cEntry, date: string, time: string): string {
  const mark = entry.target.indexOf("?");
  const stem = mark < 0 ? entry.target : entry.target.slice(0, mark);
  const query = mark < 0 ? "" : entry.target.slice(mark + 1);
  const fields = [
    date,
    time,
    text(entry.serverAddress),
    text(entry.method),
    text(stem),
    text(query),
    entry.serverPort,
    text(entry.user ?? ""),
    text(entry.clientAddress),
    text(entry.userAgent ?? ""),
    entry.status,
    entry.subStatus,
    0,
    entry.sentBytes,
    entry.receivedBytes,
    Math.round(entry.ms),
    text(entry.site ?? ""),
    entry.span ?? "-",
  ];
  return `${fields.join(" ")}\n`;
}

function text(value: string): string {
  if (value === "") return "-";
  if (value.length <= MAX_TEXT_LENGTH && PLAIN.test(value)) return value;
  return value
    .slice(0, MAX_TEXT_LENGTH)
    .replaceAll(" ", "+")
    .replaceAll(/[^\x21-\x7e]/gu, (char) => (LONE_SURROGATE.test(char) ? "?" : encodeURIComponent(char)));
}

/** What nearly every field is: nothing to replace. */
const PLAIN = /^[\x21-\x7e]+$/;
const LONE_SURROGATE = /^[\ud800-\udfff]$/;

function dateAndTime(wall: number): readonly [string, string] {
  const iso = new Date(wall).toISOString();
  return [iso.slice(0, 10), iso.slice(11, 19)];
}
