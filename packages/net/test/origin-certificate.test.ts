import { createServer } from "node:https";
import { TLSSocket } from "node:tls";
import { expect, it } from "vitest";
import { client, fetchPart, type Handler, serveFile, start } from "./origin-fixtures.js";
import { testCertificate } from "./test-certificate.js";

/** The test certificate is its own authority: it serves both sides. */
const { cert, key } = testCertificate;

async function serveTls(
  handler: Handler,
  isRequired: boolean,
  maxVersion: "TLSv1.2" | "TLSv1.3" = "TLSv1.3",
) {
  const options = { cert, key, ca: cert, requestCert: true, rejectUnauthorized: isRequired, maxVersion };
  return start(createServer(options, handler), "https");
}

it("a client certificate is shown from the start, on every connection", async () => {
  const subjects: unknown[] = [];
  const base = await serveTls((request, response) => {
    const { socket } = request;
    subjects.push(socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.subject : undefined);
    serveFile(request, response);
  }, true);
  const origin = client(base, { ca: cert, certificate: { cert, key }, maxConnections: 3 });
  const parts = await Promise.all(Array.from({ length: 6 }, () => fetchPart(origin, 0, 999)));
  expect(parts.map(({ err }) => err)).toEqual(Array.from({ length: 6 }, () => undefined));
  expect(new Set(subjects)).toEqual(new Set(["CN=localhost"]));
});

it.each(["TLSv1.2", "TLSv1.3"] as const)(
  "%s: a server that wants one and gets none is named as such",
  async (version) => {
    const origin = client(await serveTls(serveFile, true, version), { ca: cert });
    expect((await fetchPart(origin, 0, 9)).err).toMatchObject({
      code: "ERR_ORIGIN_UNREACHABLE",
      message: expect.stringMatching(/--cert/),
    });
  },
);

it.each([
  [undefined, "pass --cert and --key"],
  [{ cert, key }, "only after the handshake"],
])("a 403.7 of a folder of IIS says what it means", async (certificate, text) => {
  const base = await serveTls((_, response) => {
    response.writeHead(403).end("<h2>403.7 - Forbidden: Client certificate required.</h2>");
  }, false);
  const origin = client(base, { ca: cert, ...(certificate !== undefined && { certificate }) });
  expect((await fetchPart(origin, 0, 9)).err).toMatchObject({
    code: "ERR_AUTH_FORBIDDEN",
    message: expect.stringContaining(text),
    details: { substatus: 7 },
  });
});

it("a page of a 403 that never ends is left after its beginning", async () => {
  const origin = client(
    await serveTls((_, response) => {
      response.on("error", () => {});
      const more = (): void => {
        while (response.writable && response.write("x".repeat(65_536)));
        if (response.writable) response.once("drain", more);
      };
      response.writeHead(403);
      more();
    }, false),
    { ca: cert },
  );
  expect((await fetchPart(origin, 0, 9)).err?.code).toBe("ERR_AUTH_FORBIDDEN");
});
