import { BitsFault } from "@ckmesh/bits";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  HeadCollector,
  MAX_HEAD_BYTES,
  MAX_PLAIN_HEAD_BYTES,
  parseHead,
  type RequestHead,
} from "../../src/bits/request-head.js";

const LINE = "BITS_POST /a HTTP/1.1";

/** What becomes of lines: the head, or the status of its refusal. */
function headOf(...lines: readonly string[]): RequestHead | number {
  try {
    return parseHead(Buffer.from([...lines, "", ""].join("\r\n"), "latin1"));
  } catch (err) {
    if (err instanceof BitsFault) return err.status;
    throw err;
  }
}

function sizeOf(lines: readonly string[]): number {
  return [...lines, "", ""].join("\r\n").length;
}

/** A head that is as long as it is asked for, of lines that are not too long. */
function headOfSize(size: number, authorization = ""): readonly string[] {
  const first = [LINE, "Host: a", ...(authorization === "" ? [] : [`Authorization: ${authorization}`])];
  const lines = [...first];
  while (size - sizeOf(lines) > 4000) lines.push(`X: ${"x".repeat(3000)}`);
  lines.push("");
  lines[lines.length - 1] = `X: ${"x".repeat(size - sizeOf(lines) - 3)}`;
  return lines;
}

describe("parseHead", () => {
  it("gives names in lower case, values without blanks around, repeated ones joined", () => {
    expect(headOf(LINE, "Host: a", "BITS-Packet-Type: \tPing ", "Via: 1", "via:2", "Empty:")).toEqual({
      target: "/a",
      headers: { host: "a", "bits-packet-type": "Ping", via: "1, 2", empty: "" },
      contentLength: undefined,
      expectsContinue: false,
      isLast: false,
    });
  });

  it.each([
    ["/a?b", "/a?b"],
    ["http://host:8/a%20b", "/a%20b"],
    ["HTTPS://host", "/"],
    ["https://host?x", "/?x"],
  ])("takes the target %s for %s", (written, target) => {
    expect(headOf(`BITS_POST ${written} HTTP/1.1`, "Host: a")).toMatchObject({ target });
  });

  it.each([
    ["Content-Length: 0", { contentLength: 0, expectsContinue: false }],
    ["Content-Length: 999999999999999", { contentLength: 999_999_999_999_999 }],
    ["Content-Length: 007", { contentLength: 7 }],
    ["Expect: 100-Continue", { expectsContinue: false }],
    ["Connection: keep-alive, CLOSE", { isLast: true }],
    ["Connection: closed", { isLast: false }],
    ["X: \x80\xff", { headers: { host: "a", x: "\x80\xff" } }],
    ["__proto__: 1", { contentLength: undefined }],
  ])("understands %s", (line, expected) => {
    expect(headOf(LINE, "Host: a", line)).toMatchObject(expected);
  });

  it("waits with a body for which the client waits", () => {
    const head = headOf(LINE, "Host: a", "Content-Length: 5", "Expect: 100-continue");
    expect(head).toMatchObject({ expectsContinue: true });
  });

  it.each([
    [400, "BITS_POST /a"],
    [400, "BITS_POST  /a HTTP/1.1"],
    [400, "BITS_POST /a b HTTP/1.1"],
    [400, "BITS_POST /a\tHTTP/1.1"],
    [400, "BITS_POST /\xe9 HTTP/1.1"],
    [400, "BITS_POST /a\x00 HTTP/1.1"],
    [400, "BITS_POST * HTTP/1.1"],
    [400, "BITS_POST host:80 HTTP/1.1"],
    [400, "BITS_POST ftp://host/a HTTP/1.1"],
    [400, "BITS_POST /a http/1.1"],
    [400, "BITS_POST /a HTTP/1.1 "],
    [505, "BITS_POST /a HTTP/1.0"],
    [505, "BITS_POST /a HTTP/2.0"],
  ])("refuses with %i the request line %j", (status, line) => {
    expect(headOf(line, "Host: a")).toBe(status);
  });

  it("refuses a request without Host, and one with two", () => {
    expect([headOf(LINE), headOf(LINE, "Host: a", "Host: a")]).toEqual([400, 400]);
  });

  it.each([
    [400, ["Content-Length: -1"]],
    [400, ["Content-Length: +1"]],
    [400, ["Content-Length: 0x10"]],
    [400, ["Content-Length: 1e3"]],
    [400, ["Content-Length: 5, 5"]],
    [400, ["Content-Length:"]],
    [400, ["Content-Length: 1000000000000000"]],
    [400, ["Content-Length: 9223372036854775808"]],
    [400, ["Content-Length: 5", "Content-Length: 6"]],
    [400, ["Content-Length: 5", "Content-Length: 5"]],
    [411, ["Transfer-Encoding: chunked"]],
    [411, ["Transfer-Encoding: identity"]],
    [400, ["Transfer-Encoding: chunked", "Content-Length: 5"]],
    [400, ["Authorization: NTLM a", "Authorization: NTLM b"]],
    [400, ["Content-Range: bytes 0-1/2", "Content-Range: bytes 0-1/2"]],
    [417, ["Expect: a-miracle"]],
    [400, ["Name : value"]],
    [400, [" Folded: value"]],
    [400, ["X: a", "\tfolded"]],
    [400, ["no colon"]],
    [400, [": no name"]],
    [400, ["N\xe4me: value"]],
    [400, ["X: a\x00b"]],
    [400, ["X: a\rb"]],
    [400, ["X: a\x7fb"]],
  ])("refuses with %i the lines %j", (status, lines) => {
    expect(headOf(LINE, "Host: a", ...lines)).toBe(status);
  });

  it("takes heads of 16 KiB, not counting the ticket", () => {
    expect(headOf(...headOfSize(MAX_PLAIN_HEAD_BYTES))).toMatchObject({ target: "/a" });
    expect(headOf(...headOfSize(MAX_PLAIN_HEAD_BYTES + 1))).toBe(431);
    const ticket = "t".repeat(40_000);
    expect(headOf(...headOfSize(MAX_PLAIN_HEAD_BYTES + 40_000, ticket))).toMatchObject({ target: "/a" });
    expect(headOf(...headOfSize(MAX_PLAIN_HEAD_BYTES + 40_001, ticket))).toBe(431);
  });

  it("answers any bytes with a head or a refusal", () => {
    const line = fc.oneof(
      fc.constantFrom(LINE, "Host: a", "Content-Length: 5", "Expect: 100-continue", "X:"),
      fc.string({ unit: "binary", maxLength: 60 }),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const head = headOf(...lines);
        expect(typeof head === "number" || head.target.startsWith("/")).toBe(true);
      }),
    );
  });
});

/** What becomes of pieces: head and rest, a status, or undefined when there is no end yet. */
function collect(pieces: readonly Buffer[]): { head: string; rest: string } | number | undefined {
  const collector = new HeadCollector();
  try {
    for (const [i, piece] of pieces.entries()) {
      const taken = collector.take(piece);
      if (taken === undefined) continue;
      const rest = Buffer.concat([taken.rest, ...pieces.slice(i + 1)]);
      return { head: taken.head.toString("latin1"), rest: rest.toString("latin1") };
    }
    return undefined;
  } catch (err) {
    if (err instanceof BitsFault) return err.status;
    throw err;
  }
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let from = 0;
  for (const size of sizes) {
    pieces.push(bytes.subarray(from, from + size));
    from += size;
  }
  return [...pieces, bytes.subarray(from)];
}

describe("HeadCollector", () => {
  it("gives the same for any pieces", () => {
    const text = fc.array(fc.constantFrom("a", "\r", "\n", "\r\n", "\r\n\r\n", "line: x\r\n"), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(text, fc.array(fc.integer({ min: 0, max: 5 })), (parts, sizes) => {
        const bytes = Buffer.from(parts.join(""), "latin1");
        expect(collect(cut(bytes, sizes))).toEqual(collect([bytes]));
      }),
    );
  });

  it("ends a head at the first empty line", () => {
    expect(collect([Buffer.from("a\r\nb\r\n\r\n\r\nc")])).toEqual({ head: "a\r\nb\r\n\r\n", rest: "\r\nc" });
  });

  it("refuses a line feed alone with 400", () => {
    expect(collect([Buffer.from("a\r\nb\n\n")])).toBe(400);
    expect(collect([Buffer.from("a\r"), Buffer.from("x\n")])).toBe(400);
  });

  it("refuses with 431 what is longer than 64 KiB, complete or not", () => {
    const whole = Buffer.from(`${"x".repeat(MAX_HEAD_BYTES - 4)}\r\n\r\n`);
    expect(collect([whole])).toMatchObject({ rest: "" });
    expect(collect(cut(whole, [10, 20_000, 30_000]))).toMatchObject({ rest: "" });
    expect(collect([Buffer.concat([Buffer.from("x"), whole])])).toBe(431);
    expect(collect([whole.subarray(0, MAX_HEAD_BYTES - 1)])).toBeUndefined();
    expect(collect([whole.subarray(0, MAX_HEAD_BYTES - 4), Buffer.from("xxxx")])).toBe(431);
  });
});
