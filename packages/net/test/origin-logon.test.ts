import { describe, expect, it } from "vitest";
import type { OriginHttpOptions } from "../src/origin/origin-http.js";
import { LogonServer, type LogonServerOptions, PASSWORD, USER } from "./logon-server.js";
import { client, fetchPart } from "./origin-fixtures.js";
import { testCertificate } from "./test-certificate.js";

const credentials = { user: USER, password: PASSWORD };

async function setUp(options: LogonServerOptions, settings: Partial<OriginHttpOptions> = {}) {
  const server = await LogonServer.start(options);
  // The name counts for the service principal, and the certificate has it.
  const url = server.url.replace("127.0.0.1", "localhost");
  return { server, origin: client(url, { credentials, ca: testCertificate.cert, ...settings }) };
}

/** A token that the judge below takes as a ticket: SPNEGO with the OID of Kerberos first. */
const TICKET = Buffer.from("601b06062b0601050502a011300fa00d300b06092a864886f712010202", "hex").toString(
  "base64",
);
const kerberos = {
  accept: async () => ({ identity: { name: "MEDV\\alice", account: "alice", domain: "MEDV" } }),
};

describe("NTLM", () => {
  it.each([["ntlm"], ["negotiate"]] as const)("costs one handshake per connection, by %s", async (scheme) => {
    const { server, origin } = await setUp({ schemes: [scheme] }, { ntlm: true, maxConnections: 3 });
    const parts = await Promise.all(Array.from({ length: 30 }, () => fetchPart(origin, 0, 65_535)));
    expect(parts.map(({ err }) => err)).toEqual(Array.from({ length: 30 }, () => undefined));
    expect(server.sockets.size).toBeLessThanOrEqual(3);
    expect(server.seen.filter((each) => each.endsWith(" 1")).length).toBe(server.sockets.size);
    expect(server.seen.filter((each) => each.endsWith(" 3")).length).toBe(server.sockets.size);
    expect(new Set(server.users)).toEqual(new Set([USER]));
  });

  it("is bound to the server's certificate and name, and signs its messages", async () => {
    const { server, origin } = await setUp(
      {
        schemes: ["ntlm"],
        isTls: true,
        requireMic: true,
        protection: { tokenChecking: "Require", spns: ["HTTP/localhost"] },
      },
      { ntlm: true },
    );
    expect((await origin.fetchHead("a.ckm.index")).status).toBe("found");
    expect(server.refusals).toBe(0);
  });

  it("is taken where the server offers no Basic, and Basic is not sent again", async () => {
    const { server, origin } = await setUp({ schemes: ["ntlm"], isTls: true });
    await origin.fetchHead("a.ckm.index");
    await origin.fetchHead("a.ckm.index");
    expect(server.seen).toEqual(["Basic", "NTLM 1", "NTLM 3", "-"]);
  });

  it("begins anew when the server closes the connection between the steps", async () => {
    let closings = 2;
    const { server, origin } = await setUp(
      {
        schemes: ["ntlm"],
        before(request, response) {
          const isType1 = request.headers.authorization?.startsWith("NTLM TlRMTVNTUAAB") === true;
          if (isType1 && closings > 0) {
            closings -= 1;
            response.shouldKeepAlive = false;
          }
          return false;
        },
      },
      { ntlm: true },
    );
    expect((await origin.fetchHead("a.ckm.index")).status).toBe("found");
    expect(server.seen).toEqual(["-", "NTLM 1", "-", "NTLM 1", "-", "NTLM 1", "NTLM 3"]);
  });

  it("gives up when the server always closes it, without using up a try of the password", async () => {
    const { server, origin } = await setUp(
      {
        schemes: ["ntlm"],
        before(_, response) {
          response.shouldKeepAlive = false;
          return false;
        },
      },
      { ntlm: true },
    );
    await expect(origin.fetchHead("a.ckm.index")).rejects.toMatchObject({
      code: "ERR_AUTH_REQUIRED",
      message: expect.stringContaining("closes the connection between the steps"),
    });
    expect(server.seen).not.toContain("NTLM 3");
  });

  it("logs on again when the server forgets connections", async () => {
    const { server, origin } = await setUp(
      { schemes: ["ntlm"], persistence: { authPersistSingleRequest: true } },
      { ntlm: true },
    );
    for (let i = 0; i < 3; i += 1) expect((await fetchPart(origin, 0, 9)).err).toBeUndefined();
    expect(server.refusals).toBe(0);
  });
});

describe("Negotiate", () => {
  const tickets = { token: async () => TICKET };

  it("uses a ticket of the cache, once per connection", async () => {
    const { server, origin } = await setUp(
      { schemes: ["negotiate"], kerberos },
      { negotiate: true, tickets, maxConnections: 1 },
    );
    for (let i = 0; i < 3; i += 1) expect((await fetchPart(origin, 0, 9)).err).toBeUndefined();
    expect(server.seen).toEqual(["-", "Negotiate", "-", "-"]);
    expect(server.users[0]).toBe("MEDV\\alice");
  });

  it("sends a ticket with each request once the server was seen to forget them", async () => {
    const { server, origin } = await setUp(
      { schemes: ["negotiate"], kerberos, persistence: { authPersistNonNTLM: false } },
      { negotiate: true, tickets, maxConnections: 1 },
    );
    for (let i = 0; i < 4; i += 1) expect((await fetchPart(origin, 0, 9)).err).toBeUndefined();
    expect(server.seen).toEqual(["-", "Negotiate", "-", "Negotiate", "Negotiate", "Negotiate"]);
  });

  it("falls back to NTLM when the server refuses the ticket", async () => {
    const { server, origin } = await setUp({ schemes: ["negotiate", "ntlm"] }, { negotiate: true, tickets });
    expect((await origin.fetchHead("a.ckm.index")).status).toBe("found");
    expect(server.seen).toEqual(["-", "Negotiate", "NTLM 1", "NTLM 3"]);
  });

  it("falls back to NTLM when there is no ticket", async () => {
    const { server, origin } = await setUp(
      { schemes: ["negotiate"] },
      { negotiate: true, tickets: { token: () => Promise.reject(new Error("no cache")) } },
    );
    expect((await origin.fetchHead("a.ckm.index")).status).toBe("found");
    expect(server.seen).toEqual(["-", "Negotiate 1", "Negotiate 3"]);
  });

  it("says what is missing where the package kerberos is not installed, and what the server offers", async () => {
    const server = await LogonServer.start({ schemes: ["negotiate", "basic"], noNtlmInNegotiate: true });
    const origin = client(server.url, { negotiate: true });
    await expect(origin.fetchHead("a.ckm.index")).rejects.toMatchObject({
      code: "ERR_AUTH_REQUIRED",
      message: expect.stringMatching(
        /offers: negotiate, basic.*Kerberos: .*(?:npm install kerberos|no Kerberos ticket)/,
      ),
    });
  });
});

describe("a refused password", () => {
  const wrong = { user: USER, password: "wrong" };

  it.each([
    ["Basic", { schemes: ["basic"], isTls: true }, {}],
    ["NTLM", { schemes: ["ntlm", "basic"] }, { ntlm: true }],
    ["NTLM in Negotiate", { schemes: ["negotiate"] }, { ntlm: true }],
  ] as const)("is sent once by all connections together, by %s", async (method, options, settings) => {
    const { server, origin } = await setUp(options, { ...settings, credentials: wrong });
    const parts = await Promise.all(Array.from({ length: 12 }, () => fetchPart(origin, 0, 9)));
    expect(parts.map(({ err }) => err?.code)).toEqual(Array.from({ length: 12 }, () => "ERR_AUTH_REQUIRED"));
    expect(server.refusals).toBe(1);
    const messages = parts.map(({ err }) => err?.message ?? "");
    expect(messages.filter((message) => message.includes(`${method}: the server refused`)).length).toBe(1);
    expect(messages.every((message) => message.includes("not tried again before"))).toBe(true);
  });

  it("is not tried by a second method", async () => {
    const { server, origin } = await setUp(
      { schemes: ["negotiate", "ntlm", "basic"], isTls: true },
      { credentials: wrong },
    );
    await expect(origin.fetchHead("a.ckm.index")).rejects.toMatchObject({ code: "ERR_AUTH_REQUIRED" });
    expect(server.seen).toEqual(["Basic"]);
  });

  it("is tried once more after a quarter of an hour, then once a day, and a new one at once", async () => {
    let skipMs = 0;
    const clock = {
      now: () => performance.now() + skipMs,
      wall: () => Date.now() + skipMs,
      after: (ms: number, run: () => void) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
    };
    const { server, origin } = await setUp({ schemes: ["ntlm"] }, { ntlm: true, credentials: wrong, clock });
    const poll = async (): Promise<void> => {
      await origin.fetchHead("a.ckm.index").catch(() => {});
    };
    const refusalsAfter: number[] = [];
    for (let quarter = 0; quarter < 97; quarter += 1) {
      await poll();
      refusalsAfter.push(server.refusals);
      skipMs += 900_000;
    }
    expect(refusalsAfter.slice(0, 3)).toEqual([1, 2, 2]);
    expect(refusalsAfter[95]).toBe(2);
    await poll();
    expect(server.refusals).toBe(3);
    origin.renewCredentials(wrong);
    await poll();
    expect(server.refusals).toBe(3);
    origin.renewCredentials(credentials);
    expect((await origin.fetchHead("a.ckm.index")).status).toBe("found");
  });

  it("is tried again when a person asks for a check", async () => {
    const { server, origin } = await setUp({ schemes: ["ntlm"] }, { ntlm: true });
    server.noAccounts();
    for (let i = 0; i < 3; i += 1) await origin.fetchHead("a.ckm.index").catch(() => {});
    expect(server.refusals).toBe(1);
    await server.setPassword(PASSWORD);
    origin.forgiveRefusal();
    expect((await origin.fetchHead("a.ckm.index")).status).toBe("found");
  });
});

describe("settings of the logon", () => {
  it.each([
    ["ntlm without a password", { ntlm: true }, "http://host/x"],
    ["a password alone over plain http", { credentials }, "http://host/x"],
    [
      "NTLM through a plain proxy",
      { credentials, ntlm: true, proxy: { url: "http://proxy:3128", bypass: [] } },
      "http://host/x",
    ],
  ] as const)("refuse %s", (_, settings, url) => {
    expect(() => client(url, settings)).toThrow(expect.objectContaining({ code: "ERR_CONFIG_INVALID" }));
  });

  it("send nothing to a server that asks for nothing, by NTLM", async () => {
    const { server, origin } = await setUp(
      {
        schemes: ["ntlm"],
        before(_, response) {
          response.writeHead(206, { "content-range": "bytes 0-9/10" }).end("0123456789");
          return true;
        },
      },
      { ntlm: true },
    );
    await origin.fetchHead("a.ckm.index");
    expect(server.seen).toEqual(["-"]);
  });
});
