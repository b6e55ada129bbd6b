/** The conditional headers of a request, as received; If-Range apart. */
export interface Conditions {
  readonly ifMatch: string | undefined;
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
  readonly ifUnmodifiedSince: string | undefined;
}

/** What the conditions are held against. */
export interface Validators {
  /** Strong, with its quotes. */
  readonly etag: string;
  /** Unix seconds. */
  readonly lastModified: number;
  /** An alias can go back in time when its newest version is taken away: only an equal date counts there. */
  readonly isAlias: boolean;
}

/** Evaluates preconditions in the order of RFC 9110 §13.2.2, without If-Range. */
export function evaluateConditions(
  conditions: Conditions,
  validators: Validators,
): "proceed" | "not-modified" | "failed" {
  const { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince } = conditions;
  const { etag, lastModified } = validators;
  if (ifMatch !== undefined) {
    if (!(ifMatch.trim() === "*" || entityTags(ifMatch).includes(etag))) return "failed";
  } else if (ifUnmodifiedSince !== undefined) {
    const since = parseHttpDate(ifUnmodifiedSince);
    if (since !== undefined && lastModified > since) return "failed";
  }
  if (ifNoneMatch !== undefined) {
    const isKnown =
      ifNoneMatch.trim() === "*" || entityTags(ifNoneMatch).some((tag) => tag.replace(/^W\//, "") === etag);
    return isKnown ? "not-modified" : "proceed";
  }
  if (ifModifiedSince !== undefined) {
    const since = parseHttpDate(ifModifiedSince);
    if (since === undefined) return "proceed";
    return (validators.isAlias ? lastModified === since : lastModified <= since) ? "not-modified" : "proceed";
  }
  return "proceed";
}

/** True if a Range header counts (RFC 9110 §13.1.5): no If-Range, or one that names exactly what is there. */
export function isRangeWanted(ifRange: string | undefined, validators: Validators): boolean {
  if (ifRange === undefined) return true;
  const text = ifRange.trim();
  if (text.startsWith('"') || text.startsWith("W/")) return text === validators.etag;
  return parseHttpDate(text) === validators.lastModified;
}

/** An HTTP date of any of the three forms of RFC 9110 §5.6.7, in Unix seconds; undefined otherwise. */
export function parseHttpDate(text: string): number | undefined {
  if (text.length > 64 || !/^[A-Za-z]{3,9},? /.test(text)) return undefined;
  // asctime has no zone; Node would take it for local time.
  const ms = Date.parse(/(?:GMT|UTC)$/.test(text.trim()) ? text : `${text} GMT`);
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000);
}

export function formatHttpDate(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toUTCString();
}

function entityTags(header: string): readonly string[] {
  return header.match(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? [];
}
