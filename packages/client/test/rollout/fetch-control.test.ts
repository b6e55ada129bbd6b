import { AppError, type ErrorCode } from "@ckmesh/core";
import { emptyControl, encodeControl } from "@ckmesh/image";
import type { SmallFileAnswer } from "@ckmesh/net";
import { describe, expect, it } from "vitest";
import { fetchControl } from "../../src/rollout/fetch-control.js";

const RECORD = encodeControl({ ...emptyControl("Win11"), serial: 1 }, []);
const signal = new AbortController().signal;

function originOf(bytes: Uint8Array | undefined, headers: Readonly<Record<string, string>> = {}) {
  const answer: SmallFileAnswer = { header: (name) => headers[name], ...(bytes !== undefined && { bytes }) };
  return { fetchSmallFile: () => Promise.resolve(answer) };
}

function failing(code: ErrorCode) {
  return { fetchSmallFile: () => Promise.reject(new AppError(code, "no")) };
}

describe("fetchControl", () => {
  it("gives the bytes and what the origin holds, or that nothing changed", async () => {
    const found = originOf(RECORD, { etag: '"1"', "ckmesh-rollout": "held=3,12" });
    expect(await fetchControl(found, "Win11", undefined, signal)).toEqual({
      type: "found",
      bytes: RECORD,
      etag: '"1"',
      held: [3, 12],
    });
    const unchanged = originOf(undefined, { "ckmesh-rollout": "held=3" });
    expect(await fetchControl(unchanged, "Win11", '"1"', signal)).toEqual({ type: "unchanged", held: [3] });
  });

  it.each(["held=", "held=3,", "held=x", "3", "held=99999999999999999", `held=${"1,".repeat(5)}`])(
    "takes %j for no word about holds",
    async (header) => {
      const origin = originOf(undefined, { "ckmesh-rollout": header });
      expect(await fetchControl(origin, "Win11", '"1"', signal)).toMatchObject({ held: [] });
    },
  );

  it("finds none where the server says so, forbids it, or sends a page", async () => {
    for (const code of ["ERR_IMAGE_NOT_FOUND", "ERR_AUTH_FORBIDDEN"] as const) {
      expect(await fetchControl(failing(code), "Win11", undefined, signal)).toEqual({
        type: "none",
        isForeign: false,
      });
    }
    const page = originOf(Buffer.from("<html>"));
    expect(await fetchControl(page, "Win11", undefined, signal)).toEqual({ type: "none", isForeign: true });
  });

  it("does not take an origin that fails for one without a record", async () => {
    for (const code of ["ERR_ORIGIN_UNREACHABLE", "ERR_AUTH_REQUIRED", "ERR_RATE_LIMITED"] as const) {
      await expect(fetchControl(failing(code), "Win11", undefined, signal)).rejects.toMatchObject({ code });
    }
  });
});
