import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ERROR_CODES, statusOf } from "../src/index.js";

const ROOT = new URL("../../../", import.meta.url).pathname;
const TABLE_FILE = join("core", "src", "errors.ts");

function sources(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => /packages\/[^/]+\/src\//.test(path) && !path.endsWith(TABLE_FILE));
}

/** code → HTTP status, from the table of docs/errors.md. */
function documented(): ReadonlyMap<string, number> {
  const text = readFileSync(join(ROOT, "docs/errors.md"), "utf8");
  return new Map(
    [...text.matchAll(/^\| `(ERR_[A-Z_]+)` \| (\d+) \|/gm)].map((m) => [m[1] ?? "", Number(m[2])]),
  );
}

describe("error codes", () => {
  const text = sources(join(ROOT, "packages"))
    .map((path) => readFileSync(path, "utf8"))
    .join("\n");
  // Node has codes of its own that look alike; they are compared, never thrown.
  const used = new Set([...text.matchAll(/"(ERR_[A-Z_]+)"/g)].map((m) => m[1] ?? ""));
  const NODE_CODES = /^ERR_(?:STREAM|HTTP|TLS|SOCKET|INVALID|SSL|CRYPTO|OUT|WORKER|USE|SERVER|SYSTEM)_/;

  it("are all in docs/errors.md, with the status of the table", () => {
    const docs = documented();
    expect([...docs.keys()].toSorted()).toEqual([...ERROR_CODES].toSorted());
    for (const code of ERROR_CODES) {
      expect([code, docs.get(code)]).toEqual([code, statusOf(code)]);
    }
  });

  it("in the sources are all in the table", () => {
    const known = new Set<string>(ERROR_CODES);
    const unknown = [...used].filter((code) => !known.has(code) && !NODE_CODES.test(code));
    expect(unknown).toEqual([]);
  });

  it("of the table are all used in the sources", () => {
    expect(ERROR_CODES.filter((code) => !used.has(code))).toEqual([]);
  });
});
