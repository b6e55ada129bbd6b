import { emptyControl } from "@ckmesh/image";
import { describe, expect, it } from "vitest";
import type { ListedImage } from "../src/admin-api.js";
import { rollbackSource } from "../src/rollback-version.js";

function image(...numbers: readonly number[]): ListedImage {
  const versions = numbers.map((version) => ({
    version,
    id: "",
    createdAt: "",
    publishedAt: "",
    isOpaque: false,
    packBytes: 0,
    deltas: [],
    awaitsDelta: false,
    indexBytes: 0,
  }));
  return { name: "Win11", newest: numbers.at(-1), next: 99, versions, held: [], deltaObstacle: undefined };
}

const withdrawn = (...versions: readonly number[]) => ({
  ...emptyControl("Win11"),
  withdrawn: versions.map((version) => ({ version })),
});

describe("rollbackSource", () => {
  it("is the newest good version before the highest", () => {
    expect(rollbackSource(image(1, 2, 5), undefined, undefined).version).toBe(2);
    expect(rollbackSource(image(1, 2, 5), withdrawn(5), undefined).version).toBe(2);
    expect(rollbackSource(image(1, 2, 5), withdrawn(2, 5), undefined).version).toBe(1);
  });

  it("is the one asked for, whatever it is", () => {
    expect(rollbackSource(image(1, 2, 5), withdrawn(1), 1).version).toBe(1);
    expect(rollbackSource(image(1, 2, 5), undefined, 5).version).toBe(5);
  });

  it("is not found where there is none", () => {
    const notFound = expect.objectContaining({ code: "ERR_IMAGE_NOT_FOUND" });
    expect(() => rollbackSource(image(5), undefined, undefined)).toThrow(notFound);
    expect(() => rollbackSource(image(1, 5), withdrawn(1), undefined)).toThrow(notFound);
    expect(() => rollbackSource(image(1, 5), undefined, 4)).toThrow(notFound);
  });
});
