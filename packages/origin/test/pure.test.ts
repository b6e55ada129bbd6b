import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError, silentLogger } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Catalogue, type PublishedVersion, type ServedFile } from "../src/catalogue/catalogue.js";
import { httpFailure } from "../src/listener/http-failure.js";
import { formatEntry, type W3cEntry, W3cLog } from "../src/logs/w3c-log.js";
import { BufferPool } from "../src/serve/buffer-pool.js";
import { evaluateConditions, isRangeWanted, parseHttpDate } from "../src/serve/conditional.js";
import { planRange } from "../src/serve/range-plan.js";
import { SiteMap } from "../src/serve/site-map.js";
import { temporaryFolder } from "./origin-fixture.js";

const VALIDATORS = { etag: '"a"', lastModified: 1_700_000_000, isAlias: false };

describe("evaluateConditions", () => {
  it("answers any headers", () => {
    const header = fc.option(fc.string({ maxLength: 60 }), { nil: undefined });
    fc.assert(
      fc.property(
        header,
        header,
        header,
        header,
        (ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince) => {
          const verdict = evaluateConditions(
            { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince },
            VALIDATORS,
          );
          expect(["proceed", "not-modified", "failed"]).toContain(verdict);
        },
      ),
    );
  });

  it.each([
    ["Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777],
    ["Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777],
    ["Sun Nov  6 08:49:37 1994", 784_111_777],
    ["1994-11-06T08:49:37Z", undefined],
    ["784111777", undefined],
    ["", undefined],
  ])("reads the date %j", (text, seconds) => {
    expect(parseHttpDate(text)).toBe(seconds);
  });

  it("takes an If-Range that is neither tag nor date for another file", () => {
    expect(isRangeWanted("a", VALIDATORS)).toBe(false);
  });
});

describe("planRange", () => {
  it("plans ranges within the file and a length that is exact, for any header", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(50), fc.nat(50)), { maxLength: 8 }),
        fc.integer({ min: 1, max: 40 }),
        (pairs, size) => {
          const header = `bytes=${pairs.map(([a, b]) => `${a}-${a + b}`).join(",")}`;
          const plan = planRange(header, size, "x/y", () => "mark");
          const ranges =
            plan.type === "single"
              ? [plan.range]
              : plan.type === "multiple"
                ? plan.parts.map((p) => p.range)
                : [];
          expect(ranges.every(({ first, last }) => 0 <= first && first <= last && last < size)).toBe(true);
          const text =
            plan.type === "multiple"
              ? plan.parts.map((p) => p.heading + "b".repeat(p.range.last - p.range.first + 1)).join("") +
                plan.closing
              : "";
          expect(plan.type === "multiple" ? plan.length : 0).toBe(text.length);
        },
      ),
    );
  });
});

const file = (fileName: string): ServedFile => ({
  path: `/${fileName}`,
  size: 1,
  mtimeMs: 1,
  ino: 1,
  fileName,
  etag: `"${fileName}"`,
  lastModified: 0,
});

const version = (name: string, n: number): PublishedVersion => ({
  name,
  version: n,
  id: `${name}${n}`,
  isOpaque: false,
  isSigned: false,
  createdAt: 0,
  publishedAt: 0,
  pack: file(`${name}_${n}.ckm`),
  index: file(`${name}_${n}.ckm.index`),
});

describe("Catalogue", () => {
  it("keeps both aliases on the newest version, whatever is published and removed in whatever order", () => {
    const step = fc.record({ publish: fc.boolean(), n: fc.integer({ min: 1, max: 6 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const catalogue = new Catalogue();
        const model = new Set<number>();
        for (const { publish, n } of steps) {
          if (publish) {
            catalogue.publish(version("a", n));
            model.add(n);
          } else {
            catalogue.remove("A", n);
            model.delete(n);
          }
          const newest = model.size === 0 ? undefined : Math.max(...model);
          const wanted =
            newest === undefined ? [undefined, undefined] : [`a_${newest}.ckm`, `a_${newest}.ckm.index`];
          expect(["a.ckm", "a.ckm.index"].map((key) => catalogue.find(key)?.file.fileName)).toEqual(wanted);
          expect(catalogue.versionCount).toBe(model.size);
        }
      }),
    );
  });

  it("tells when the alias moves", () => {
    const catalogue = new Catalogue();
    expect(catalogue.publish(version("a", 2))).toBe(true);
    expect(catalogue.publish(version("a", 1))).toBe(false);
    expect(catalogue.remove("a", 2)).toBe(true);
    expect(catalogue.remove("a", 1)).toBe(false);
  });
});

const ENTRY: W3cEntry = {
  serverAddress: "::1",
  serverPort: 80,
  method: "GET",
  target: "/",
  user: undefined,
  clientAddress: "::1",
  userAgent: undefined,
  status: 200,
  subStatus: 0,
  sentBytes: 1,
  receivedBytes: 1,
  ms: 0.4,
  site: undefined,
  span: undefined,
};

describe("formatEntry", () => {
  it("has 18 fields on one line, whatever the client sent", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (target, text) => {
        const line = formatEntry({ ...ENTRY, target, userAgent: text, site: text }, "2026-01-01", "00:00:00");
        expect(line.trimEnd().split(" ")).toHaveLength(18);
        expect(line.split("\n")).toHaveLength(2);
      }),
    );
  });
});

describe("W3cLog", () => {
  it("begins a file per UTC day, with its header, and writes what waits when it is closed", async () => {
    const folder = temporaryFolder();
    const clock = new VirtualClock(Date.UTC(2026, 11, 31, 23, 59, 59));
    const log = new W3cLog(folder, clock, silentLogger);
    log.write(ENTRY);
    clock.advance(1000);
    log.write(ENTRY);
    await log.close();
    expect(readdirSync(folder)).toEqual(["u_ex261231.log", "u_ex270101.log"]);
    const lines = readFileSync(join(folder, "u_ex270101.log"), "utf8").trim().split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[3]).toMatch(/^2027-01-01 00:00:00 ::1 GET /);
  });

  it("says once that it cannot write, and does not stop the service", async () => {
    const inTheWay = join(temporaryFolder(), "file");
    writeFileSync(inTheWay, "");
    const errors: string[] = [];
    const logger = { ...silentLogger, error: (_fields: object, message: string) => errors.push(message) };
    const clock = new VirtualClock();
    const log = new W3cLog(inTheWay, clock, logger);
    log.write(ENTRY);
    clock.advance(1000);
    log.write(ENTRY);
    await log.close();
    expect(errors).toEqual(["cannot write the request log"]);
  });
});

describe("httpFailure", () => {
  it("shows nothing of an error that is not for the caller", () => {
    for (const err of [
      new Error("secret path"),
      new AppError("ERR_STORE_CORRUPT", "secret path"),
      "secret path",
    ]) {
      expect(httpFailure(err)).toMatchObject({ status: 500, code: "ERR_INTERNAL" });
      expect(JSON.stringify(httpFailure(err))).not.toContain("secret");
    }
  });

  it("says when to come back", () => {
    const err = new AppError("ERR_RATE_LIMITED", "busy", { details: { retryMs: 1500 } });
    expect(httpFailure(err)).toMatchObject({ status: 429, headers: { "Retry-After": "2" } });
  });
});

describe("SiteMap", () => {
  it("takes the narrowest network", () => {
    const map = new SiteMap({ all: ["10.0.0.0/8"], oslo: ["10.1.0.0/16", "2001:db8::/32"] });
    expect([
      map.siteOf("10.1.2.3"),
      map.siteOf("10.2.0.1"),
      map.siteOf("2001:db8::1"),
      map.siteOf("192.0.2.1"),
      map.siteOf(""),
    ]).toEqual(["oslo", "all", "oslo", undefined, undefined]);
  });
});

describe("BufferPool", () => {
  it("keeps no more than its limit", () => {
    const pool = new BufferPool(16, 2);
    const taken = [pool.take(), pool.take(), pool.take()];
    for (const buffer of taken) pool.give(buffer);
    expect(pool.idle).toBe(2);
    expect(taken).toContain(pool.take());
  });
});
