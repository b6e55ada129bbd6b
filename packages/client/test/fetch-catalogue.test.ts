import { AppError } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { fetchCatalogue } from "../src/fetch-catalogue.js";
import type { OriginSource } from "../src/rows/origin-rows.js";

const never = new AbortController().signal;

const none = (): Promise<never> => Promise.reject(new Error("not asked"));

function originWith(answer: () => Promise<unknown>): OriginSource {
  return { fetchHead: none, fetchSmallFile: none, fetchRange: none, fetchTicket: none, fetchJson: answer };
}

describe("catalogue of the origin", () => {
  it("names the images", async () => {
    const origin = originWith(() => Promise.resolve({ images: [{ name: "A", newest: 3 }, { name: "B" }] }));
    expect(await fetchCatalogue(origin, never)).toEqual(["A", "B"]);
  });

  it("tells how to go on where there is none", async () => {
    const origin = originWith(() => Promise.reject(new AppError("ERR_IMAGE_NOT_FOUND", "404")));
    await expect(fetchCatalogue(origin, never)).rejects.toThrow("--image NAME");
  });

  it("refuses names that would leave the store", async () => {
    const origin = originWith(() => Promise.resolve({ images: [{ name: "../../etc" }] }));
    await expect(fetchCatalogue(origin, never)).rejects.toThrow(
      expect.objectContaining({ code: "ERR_ORIGIN_INVALID" }),
    );
  });

  it("passes on that the origin is away", async () => {
    const origin = originWith(() => Promise.reject(new AppError("ERR_ORIGIN_UNREACHABLE", "away")));
    await expect(fetchCatalogue(origin, never)).rejects.toThrow("away");
  });
});
