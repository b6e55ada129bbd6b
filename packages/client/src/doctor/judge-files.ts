import type { CheckName, Finding } from "./finding.js";
import { failed, ok, skipped, warning } from "./finding.js";

/** An answer, as far as files are judged by it. */
export interface FileAnswer {
  readonly status: number;
  header(name: string): string | undefined;
  /** Bytes of the body that came, at most those asked for are of interest. */
  readonly length: number;
}

/** IIS serves only what it has a MIME type for, and says 404 (404.3 in its log) of the rest. */
const MIME_ADVICE =
  "on IIS add a MIME type for it (application/octet-stream): without one it answers 404, in its log 404.3";

/** Whether a file is there and comes as it is. */
export function judgeFile(check: CheckName, name: string, extension: string, answer: FileAnswer): Finding {
  const { status } = answer;
  if (status === 404 || status === 410)
    return failed(
      check,
      "ERR_IMAGE_NOT_FOUND",
      `${name} is not there`,
      `check the name; ${MIME_ADVICE} (${extension})`,
    );
  if (status === 403)
    return failed(
      check,
      "ERR_AUTH_FORBIDDEN",
      `${name} may not be read with these credentials`,
      "ask for the right to read",
    );
  if (status === 401)
    return failed(check, "ERR_AUTH_REQUIRED", `${name} is not given out without a logon`, "see above");
  if (status !== 200 && status !== 206)
    return failed(check, "ERR_ORIGIN_INVALID", `${name}: status ${status}`, "look into the server's log");
  const encoding = answer.header("content-encoding");
  if (encoding !== undefined && encoding !== "identity")
    return failed(
      check,
      "ERR_ORIGIN_INVALID",
      `${name} comes with content encoding ${encoding.slice(0, 40)}`,
      "switch compression off for images: ranges of it are not those of the file",
    );
  const type = answer.header("content-type")?.slice(0, 80) ?? "none";
  if (/^text\//i.test(type))
    return warning(
      check,
      `${name} comes as ${type}`,
      `serve it as application/octet-stream, so that no proxy rewrites it (${extension})`,
    );
  return ok(check, `${name} is there (${type})`);
}

/** What a server makes of a range of 100 bytes from 100. */
export function judgeRanges(answer: FileAnswer): Finding {
  if (answer.status === 206) {
    const range = answer.header("content-range") ?? "";
    return range.startsWith("bytes 100-199/")
      ? ok("ranges", "ranges work (206)")
      : failed(
          "ranges",
          "ERR_ORIGIN_INVALID",
          `another range came than was asked for: ${range.slice(0, 80)}`,
          "look for a proxy in between",
        );
  }
  if (answer.status === 200)
    return warning(
      "ranges",
      "the server, or a proxy before it, ignores ranges and sends files from their beginning",
      "switch ranges on, or have the proxy pass Range on (proxyBypass): each piece costs everything before it",
    );
  return failed(
    "ranges",
    "ERR_ORIGIN_INVALID",
    `a range was answered with status ${answer.status}`,
    "look into the server's log",
  );
}

/**
 * Entity tags: what tells that a file is still the same one.
 * @param isIfRangeKept a range under another `If-Range` came as the whole file, as it must
 * @param isUnchangedTold a request under the right `If-None-Match` was answered with 304
 */
export function judgeTags(
  etag: string | undefined,
  isIfRangeKept: boolean,
  isUnchangedTold: boolean,
): Finding {
  if (etag === undefined)
    return warning(
      "tags",
      "the server sends no entity tags",
      "switch ETag on: without it a file that is replaced while it is read is noticed only by its hashes",
    );
  if (!isUnchangedTold)
    return warning(
      "tags",
      "If-None-Match is ignored: the head comes with each check",
      "let the server (or the proxy) answer conditional requests",
    );
  if (etag.startsWith("W/"))
    return warning(
      "tags",
      "entity tags are weak: they cannot be a condition of a range",
      "switch off what weakens them: compression, or a proxy that rewrites",
    );
  if (!isIfRangeKept)
    return warning(
      "tags",
      "If-Range is ignored: a range of a replaced file would come as if it were the old one",
      "let the server honour If-Range; hashes catch what is wrong",
    );
  return ok("tags", "entity tags are strong, and conditions are kept");
}

/** The control file is optional. */
export function judgeControl(name: string, answer: FileAnswer): Finding {
  if (answer.status === 200 || answer.status === 206) return ok("control", `${name} is there`);
  if (answer.status === 404 || answer.status === 410)
    return ok("control", "no control file: nothing is withdrawn or ordered");
  return skipped("control", `${name}: status ${answer.status}`);
}
