import { describe, expect, it } from "vitest";
import { judgeClock, judgeRedirect, judgeTls } from "../src/doctor/judge-connection.js";
import { judgeControl, judgeFile, judgeRanges, judgeTags } from "../src/doctor/judge-files.js";
import { judgeLogon, judgeMethods, type Means, methodsToTry } from "../src/doctor/judge-logon.js";

const DAY_MS = 86_400_000;
const NOW = Date.parse("2026-06-01T12:00:00Z");
const TLS = {
  protocol: "TLSv1.3",
  subject: "CN=images",
  issuer: "CN=Contoso CA",
  notBefore: NOW - DAY_MS,
  notAfter: NOW + 365 * DAY_MS,
  names: "DNS:images",
};
const MEANS: Means = {
  hasPassword: true,
  hasTickets: false,
  hasCertificate: false,
  isTls: true,
  allowBasicOverHttp: false,
};

function answer(status: number, headers: Readonly<Record<string, string>> = {}) {
  return { status, header: (name: string) => headers[name], length: 0 };
}

describe("the doctor judges TLS", () => {
  it.each([
    ["ok", {}, "2027-06-01"],
    ["warning", { notAfter: NOW + 29 * DAY_MS }, "ends on"],
    ["failed", { notAfter: NOW - 1 }, "has expired"],
    ["failed", { notBefore: NOW + 1 }, "not valid yet"],
    ["failed", { problem: "SELF_SIGNED_CERT_IN_CHAIN" }, "Contoso CA"],
    ["failed", { problem: "ERR_TLS_CERT_ALTNAME_INVALID" }, "DNS:images, not for host"],
  ])("%s with %j", (status, facts, text) => {
    expect(judgeTls({ ...TLS, ...facts }, "host", NOW)).toMatchObject({
      status,
      message: expect.stringContaining(text),
    });
  });
});

/** A Date header. */
function at(ms: number): string {
  return new Date(NOW + ms).toUTCString();
}

describe("the doctor judges clocks", () => {
  it.each([
    [at(0), 0, false, "ok"],
    [at(-60_000), 0, false, "ok"],
    [at(-62_000), 0, false, "warning"],
    [at(-62_000), 5000, false, "ok"],
    [at(600_000), 0, false, "warning"],
    [at(600_000), 0, true, "failed"],
    [at(-290_000), 0, true, "warning"],
    [undefined, 0, true, "skipped"],
    ["soon", 0, true, "skipped"],
  ])("Date %s, answer after %d ms, tickets %s: %s", (date, tookMs, usesTickets, status) => {
    expect(judgeClock(date, NOW, tookMs, usesTickets).status).toBe(status);
  });
});

it("the doctor names the target of a redirect, and takes no 304 for one", () => {
  expect(judgeRedirect(302, "https://elsewhere/x")).toMatchObject({
    status: "failed",
    message: expect.stringContaining("https://elsewhere/x"),
  });
  expect([judgeRedirect(304, undefined).status, judgeRedirect(401, undefined).status]).toEqual(["ok", "ok"]);
});

describe("the doctor judges the ways to log on", () => {
  it.each([
    [["negotiate", "ntlm", "basic"], MEANS, ["NTLM", "Basic"]],
    [["negotiate", "ntlm", "basic"], { ...MEANS, hasTickets: true }, ["Kerberos", "NTLM", "Basic"]],
    [["negotiate"], { ...MEANS, hasPassword: false, hasTickets: true }, ["Kerberos"]],
    [["basic"], { ...MEANS, isTls: false }, []],
    [["basic"], { ...MEANS, isTls: false, allowBasicOverHttp: true }, ["Basic"]],
    [["digest"], MEANS, []],
  ] as const)("of %j with %j it tries %j", (offered, means, methods) => {
    expect(methodsToTry(offered, means)).toEqual(methods);
  });

  it.each([
    [200, [], "ok"],
    [404, [], "ok"],
    [401, ["ntlm"], "ok"],
    [401, [], "failed"],
    [403, [], "failed"],
  ])("status %d offering %j is %s", (status, offered, expected) => {
    expect(judgeMethods(status, offered, MEANS).status).toBe(expected);
  });

  it("calls one way that works enough, and names the others", () => {
    const attempts = [{ method: "NTLM", problem: "no" }, { method: "Basic" }] as const;
    expect(judgeLogon(attempts, ["ntlm", "basic"], MEANS)).toMatchObject({
      status: "warning",
      message: "works with Basic; NTLM: no",
    });
  });

  it.each([
    [["negotiate"], { ...MEANS, hasPassword: false }, "--negotiate"],
    [["basic"], { ...MEANS, hasPassword: false }, "--password-file"],
    [["basic"], { ...MEANS, isTls: false }, "https"],
  ])("says what to give where nothing could be tried: %j", (offered, means, advice) => {
    const finding = judgeLogon([], offered, means);
    expect([finding.status, finding.advice]).toEqual(["failed", expect.stringContaining(advice)]);
  });
});

describe("the doctor judges files", () => {
  it("names the MIME type where a file is not found, as IIS hides what has none", () => {
    expect(judgeFile("pack", "a.ckm", ".ckm", answer(404))).toMatchObject({
      status: "failed",
      code: "ERR_IMAGE_NOT_FOUND",
      advice: expect.stringContaining("404.3"),
    });
  });

  it.each([
    [answer(206, { "content-type": "application/octet-stream" }), "ok"],
    [answer(200, { "content-type": "text/plain" }), "warning"],
    [answer(200, { "content-encoding": "gzip" }), "failed"],
    [answer(403), "failed"],
    [answer(500), "failed"],
  ])("%#: %s", (given, status) => {
    expect(judgeFile("index", "a.ckm.index", ".index", given).status).toBe(status);
  });

  it.each([
    [answer(206, { "content-range": "bytes 100-199/5000" }), "ok"],
    [answer(206, { "content-range": "bytes 0-99/5000" }), "failed"],
    [answer(206), "failed"],
    [answer(200), "warning"],
    [answer(416), "failed"],
  ])("ranges %#: %s", (given, status) => {
    expect(judgeRanges(given).status).toBe(status);
  });

  it.each([
    ['"a"', true, true, "ok"],
    ['W/"a"', true, true, "warning"],
    ['"a"', false, true, "warning"],
    ['"a"', true, false, "warning"],
    [undefined, true, false, "warning"],
  ])("entity tag %s, If-Range kept %s, 304 told %s: %s", (etag, isKept, isTold, status) => {
    expect(judgeTags(etag, isKept, isTold).status).toBe(status);
  });

  it("does not miss a control file", () => {
    expect([200, 206, 404, 500].map((s) => judgeControl("a.control.index", answer(s)).status)).toEqual([
      "ok",
      "ok",
      "ok",
      "skipped",
    ]);
  });
});
