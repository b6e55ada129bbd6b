/** Said elsewhere in the line, or of no use to a person at a terminal. */
const HIDDEN = new Set(["level", "time", "msg", "err", "component"]);
const MAX_VALUE_CHARS = 200;

/** A log line for a person: `warn: image not checked: no answer (image Win11)`. Lines that are no JSON stay. */
export function readableLogLine(line: string): string {
  const entry = parse(line);
  if (entry === undefined) return line;
  const facts = [...entry]
    .filter(([key, value]) => !HIDDEN.has(key) && (typeof value === "string" || typeof value === "number"))
    .map(([key, value]) => `${key} ${String(value).slice(0, MAX_VALUE_CHARS)}`);
  const cause = messageOf(entry.get("err"));
  const reason = cause === undefined ? "" : `: ${cause}`;
  const tail = facts.length === 0 ? "" : ` (${facts.join(", ")})`;
  return `${String(entry.get("level"))}: ${String(entry.get("msg"))}${reason}${tail}\n`;
}

function parse(line: string): ReadonlyMap<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? new Map(Object.entries(value)) : undefined;
  } catch {
    return undefined; // not a line of the logger: shown as it is
  }
}

function messageOf(err: unknown): string | undefined {
  if (typeof err !== "object" || err === null || !("message" in err)) return undefined;
  return typeof err.message === "string" ? err.message : undefined;
}
