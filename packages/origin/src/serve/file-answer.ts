import { randomBytes } from "node:crypto";
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import type { FoundFile } from "../catalogue/catalogue.js";
import { RequestError } from "../listener/http-failure.js";
import { evaluateConditions, formatHttpDate, isRangeWanted } from "./conditional.js";
import { contentRange, planRange, type RangePlan } from "./range-plan.js";

/** Head of the answer for a file, and what its body is. */
export interface FileAnswer {
  readonly status: 200 | 206 | 304;
  readonly headers: OutgoingHttpHeaders;
  /** Undefined: no body. */
  readonly body: Exclude<RangePlan, { type: "unsatisfiable" }> | undefined;
}

const CONTENT_TYPE = "application/octet-stream";

/**
 * Decides the answer to GET or HEAD of a published file (RFC 9110 §13, §14).
 * @throws {RequestError} ERR_PRECONDITION_FAILED, ERR_RANGE_UNSATISFIABLE
 */
export function answerFile(
  found: FoundFile,
  request: IncomingHttpHeaders,
  options: { readonly publicCache: boolean },
): FileAnswer {
  const { file, isAlias } = found;
  const validators = { etag: file.etag, lastModified: file.lastModified, isAlias };
  const scope = options.publicCache ? "public" : "private";
  const common: OutgoingHttpHeaders = {
    ETag: file.etag,
    "Last-Modified": formatHttpDate(file.lastModified),
    "Cache-Control": `${scope}, ${isAlias ? "no-cache" : "immutable"}`,
    "Accept-Ranges": "bytes",
    "X-Content-Type-Options": "nosniff",
    ...(isAlias ? { "Content-Location": encodeURIComponent(file.fileName) } : {}),
  };
  const verdict = evaluateConditions(
    {
      ifMatch: request["if-match"],
      ifNoneMatch: request["if-none-match"],
      ifModifiedSince: request["if-modified-since"],
      ifUnmodifiedSince: request["if-unmodified-since"],
    },
    validators,
  );
  if (verdict === "not-modified") return { status: 304, headers: common, body: undefined };
  if (verdict === "failed") {
    throw new RequestError("ERR_PRECONDITION_FAILED", "the file is not the one that the request names", {
      headers: { ETag: file.etag },
    });
  }
  const range = isRangeWanted(headerText(request["if-range"]), validators) ? request.range : undefined;
  const plan = planRange(range, file.size, CONTENT_TYPE, () => randomBytes(16).toString("hex"));
  switch (plan.type) {
    case "unsatisfiable":
      throw new RequestError("ERR_RANGE_UNSATISFIABLE", `the file has ${file.size} bytes`, {
        headers: { "Content-Range": `bytes */${file.size}`, ETag: file.etag },
      });
    case "full":
      return {
        status: 200,
        headers: { ...common, "Content-Type": CONTENT_TYPE, "Content-Length": plan.length },
        body: plan,
      };
    case "single":
      return {
        status: 206,
        headers: {
          ...common,
          "Content-Type": CONTENT_TYPE,
          "Content-Length": plan.length,
          "Content-Range": contentRange(plan.range, file.size),
        },
        body: plan,
      };
    case "multiple":
      return {
        status: 206,
        headers: {
          ...common,
          "Content-Type": `multipart/byteranges; boundary=${plan.boundary}`,
          "Content-Length": plan.length,
        },
        body: plan,
      };
  }
}

function headerText(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}
