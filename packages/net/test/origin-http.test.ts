import type { IncomingMessage } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { describe, expect, it } from "vitest";
import { client, content, ETAG, fetchPart, serve, serveFile, start } from "./origin-fixtures.js";
import { testCertificate } from "./test-certificate.js";

describe("fetchHead", () => {
  it("gives the first 4 KiB, length, entity tag and date", async () => {
    const origin = await serve(serveFile);
    expect(await origin.fetchHead("a.ckm.index")).toEqual({
      status: "found",
      etag: ETAG,
      lastModified: "Mon, 01 Jan 2024 00:00:00 GMT",
      bytes: content.subarray(0, 4096),
      total: content.length,
    });
    expect(origin.wireBytes).toBe(4096);
  });

  it("costs no bytes when nothing changed", async () => {
    const origin = await serve(serveFile);
    expect(await origin.fetchHead("a.ckm.index", { ifNoneMatch: ETAG })).toEqual({ status: "unchanged" });
    expect(origin.wireBytes).toBe(0);
  });

  it("works where ranges are ignored, and reads little more than the head there", async () => {
    const origin = await serve((_, response) => {
      response.writeHead(200, { "content-length": content.length }).end(content);
    });
    expect(await origin.fetchHead("a.ckm.index")).toMatchObject({
      bytes: content.subarray(0, 4096),
      total: content.length,
    });
    expect(origin.wireBytes).toBeLessThan(content.length);
  });

  it("gives a file shorter than 4 KiB whole", async () => {
    const origin = await serve((_, response) => {
      response.writeHead(206, { "content-range": "bytes 0-99/100" }).end(content.subarray(0, 100));
    });
    expect(await origin.fetchHead("a.ckm.index")).toMatchObject({
      bytes: content.subarray(0, 100),
      total: 100,
    });
  });

  it("asks for the escaped name in the virtual directory, with the site's label", async () => {
    let seen: IncomingMessage | undefined;
    const origin = await serve(
      (request, response) => {
        seen = request;
        serveFile(request, response);
      },
      { site: () => "Köln" },
    );
    await origin.fetchHead("Büro 1.ckm.index");
    expect(seen?.url).toBe("/MEDVImages/B%C3%BCro%201.ckm.index");
    expect(seen?.headers).toMatchObject({ "x-ckmesh-site": "K%C3%B6ln", "accept-encoding": "identity" });
  });
});

describe("fetchRange", () => {
  it("streams exactly the asked bytes with their offsets", async () => {
    const origin = await serve(serveFile);
    const { bytes, offsets, err } = await fetchPart(origin, 1000, 250_000, { etag: ETAG });
    expect(err).toBeUndefined();
    expect(bytes.equals(content.subarray(1000, 250_001))).toBe(true);
    expect(offsets[0]).toBe(1000);
    expect(origin.wireBytes).toBe(249_001);
  });

  it("cuts the asked bytes out of a 200", async () => {
    const origin = await serve((_, response) => {
      response.writeHead(200, { "content-length": content.length }).end(content);
    });
    const { bytes, err } = await fetchPart(origin, 100_000, 150_000);
    expect(err).toBeUndefined();
    expect(bytes.equals(content.subarray(100_000, 150_001))).toBe(true);
  });

  it("waits for onData before it reads on", async () => {
    const origin = await serve(serveFile);
    let open = 0;
    let most = 0;
    const { err } = await fetchPart(origin, 0, content.length - 1, {
      async onData() {
        open += 1;
        most = Math.max(most, open);
        await new Promise<void>((resolve) => {
          setImmediate(resolve);
        });
        open -= 1;
      },
    });
    expect(err).toBeUndefined();
    expect(most).toBe(1);
  });

  it("passes on what onData throws, unchanged", async () => {
    const origin = await serve(serveFile);
    const bug = new Error("disk");
    const { err } = await fetchPart(origin, 0, 1000, {
      onData() {
        throw bug;
      },
    });
    expect(err).toBe(bug);
  });

  it("sends a strong entity tag as a condition, and only compares a weak one", async () => {
    const seen: (readonly [unknown, unknown])[] = [];
    const origin = await serve((request, response) => {
      seen.push([request.headers["if-match"], request.headers["if-range"]]);
      serveFile(request, response);
    });
    await fetchPart(origin, 0, 9, { etag: ETAG });
    const { err } = await fetchPart(origin, 0, 9, { etag: 'W/"v1"' });
    expect(seen).toEqual([
      [ETAG, ETAG],
      [undefined, undefined],
    ]);
    expect(err?.code).toBe("ERR_ORIGIN_CHANGED");
  });

  it("keeps its connections for the next requests", async () => {
    const sockets = new Set<unknown>();
    const origin = await serve((request, response) => {
      sockets.add(request.socket);
      serveFile(request, response);
    });
    for (let i = 0; i < 10; i += 1) await fetchPart(origin, i, i + 1000);
    // The next request may begin before the last one's connection counts as free.
    expect(sockets.size).toBeLessThanOrEqual(2);
  });

  it("stops when aborted", async () => {
    const origin = await serve((_, response) => {
      response.writeHead(206, { "content-range": "bytes 0-999/1000" }).write("x");
    });
    const abort = new AbortController();
    const { bytes, err } = await fetchPart(origin, 0, 999, {
      signal: abort.signal,
      onData: () => abort.abort(),
    });
    expect(bytes.length).toBe(0);
    expect(err?.code).toBe("ERR_ABORTED");
  });
});

describe("credentials", () => {
  const credentials = { user: "bob", password: "pä:ss" };

  it("are never sent over plain http, unless a test allows it", async () => {
    expect(() => client("http://127.0.0.1:1/MEDVImages", { credentials })).toThrow(
      expect.objectContaining({ code: "ERR_CONFIG_INVALID" }),
    );
    let seen: string | undefined;
    const origin = await serve(
      (request, response) => {
        seen = request.headers.authorization;
        serveFile(request, response);
      },
      { credentials, allowBasicOverHttp: true },
    );
    await origin.fetchHead("a.ckm.index");
    expect(seen).toBe(`Basic ${Buffer.from("bob:pä:ss").toString("base64")}`);
  });

  it.each(["ftp://host/x", "host/x", "https://bob:pw@host/x", "https://host/x?y=1", "https://host/x#y"])(
    "and the URL %s are refused",
    (url) => {
      expect(() => client(url)).toThrow(expect.objectContaining({ code: "ERR_CONFIG_INVALID" }));
    },
  );

  it.each([
    { user: "a:b", password: "x" },
    { user: "a\n", password: "x" },
    { user: "a", password: "\u0000" },
  ])("that Basic cannot carry are refused: %j", (bad) => {
    expect(() => client("https://127.0.0.1/x", { credentials: bad })).toThrow(
      expect.objectContaining({ code: "ERR_CONFIG_INVALID" }),
    );
  });

  it("travel over https to a server whose certificate the given CA vouches for", async () => {
    let seen: string | undefined;
    const base = await start(
      createHttpsServer(testCertificate, (request, response) => {
        seen = request.headers.authorization;
        serveFile(request, response);
      }),
      "https",
    );
    const origin = client(base, { credentials, ca: testCertificate.cert });
    expect((await origin.fetchHead("a.ckm.index")).status).toBe("found");
    expect(seen).toMatch(/^Basic /);
    const stranger = client(base, { credentials });
    await expect(stranger.fetchHead("a.ckm.index")).rejects.toMatchObject({
      code: "ERR_ORIGIN_UNREACHABLE",
      message: expect.stringContaining("CA file"),
    });
  });
});

describe("fetchSmallFile", () => {
  it("gives all of a file with the headers of the answer, and nothing when it is unchanged", async () => {
    const origin = await serve((request, response) => {
      const isKnown = request.headers["if-none-match"] === ETAG;
      response.writeHead(isKnown ? 304 : 200, { etag: ETAG, "x-more": "1" }).end(isKnown ? undefined : "abc");
    });
    const found = await origin.fetchSmallFile("a.control.index", { maxBytes: 3 });
    expect([Buffer.from(found.bytes ?? []).toString(), found.header("etag")]).toEqual(["abc", ETAG]);
    const same = await origin.fetchSmallFile("a.control.index", { maxBytes: 3, ifNoneMatch: ETAG });
    expect([same.bytes, same.header("x-more")]).toEqual([undefined, "1"]);
  });

  it("refuses more than was asked for, with a length or without", async () => {
    const origin = await serve((request, response) => {
      if (request.url?.endsWith("a") === true) response.setHeader("content-length", 4);
      response.write("ab");
      response.end("cd");
    });
    for (const name of ["a", "b"]) {
      await expect(origin.fetchSmallFile(name, { maxBytes: 3 })).rejects.toMatchObject({
        code: "ERR_ORIGIN_INVALID",
      });
    }
  });
});

describe("fetchJson and fetchTicket", () => {
  it("give parsed, unchecked JSON of the host, not of the virtual directory", async () => {
    let url: string | undefined;
    const origin = await serve((request, response) => {
      url = request.url;
      response.end('{"ticket":"AQID"}');
    });
    expect(await origin.fetchJson("/ckmesh/catalogue")).toEqual({ ticket: "AQID" });
    expect(url).toBe("/ckmesh/catalogue");
    expect([...(await origin.fetchTicket("ab"))]).toEqual([1, 2, 3]);
    expect(url).toBe("/ckmesh/ticket?peer=ab");
  });

  it.each<readonly [string, string]>([
    ["no JSON", "<html>"],
    ["broken UTF-8", "\u00ff"],
    ["no ticket", "{}"],
    ["an empty ticket", '{"ticket":""}'],
    ["a list", "[]"],
    ["more than 4 MiB", " ".repeat(4 * 1024 * 1024 + 1)],
  ])("refuse %s", async (_, body) => {
    const origin = await serve((__, response) => response.end(body, "latin1"));
    await expect(origin.fetchTicket("ab")).rejects.toMatchObject({ code: "ERR_ORIGIN_INVALID" });
  });

  it("refuse an endless body long before memory ends", async () => {
    const origin = await serve((_, response) => {
      response.on("error", () => {});
      const more = (): void => {
        while (response.writable && response.write(content));
        if (response.writable) response.once("drain", more);
      };
      more();
    });
    await expect(origin.fetchJson("/ckmesh/catalogue")).rejects.toMatchObject({ code: "ERR_ORIGIN_INVALID" });
    expect(origin.wireBytes).toBeLessThan(6 * 1024 * 1024);
  });
});

describe("close", () => {
  it("ends running and waiting requests with ERR_ABORTED, and may be called twice", async () => {
    const origin = await serve(() => {}, { maxConnections: 1 });
    const running = fetchPart(origin, 0, 9);
    const waiting = fetchPart(origin, 0, 9);
    await origin.close();
    await origin.close();
    expect([(await running).err?.code, (await waiting).err?.code]).toEqual(["ERR_ABORTED", "ERR_ABORTED"]);
  });
});
