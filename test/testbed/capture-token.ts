import { createServer } from "node:http";
import { curl } from "./curl.js";

/**
 * A token that curl --negotiate makes for HTTP/localhost with a user's ticket: good for any server of that name,
 * once.
 */
export async function captureKerberosToken(ticket: Readonly<Record<string, string>>): Promise<Buffer> {
  let token: Buffer | undefined;
  const server = createServer((request, response) => {
    const m = /^Negotiate (.+)$/.exec(request.headers.authorization ?? "");
    if (m?.[1] !== undefined) token ??= Buffer.from(m[1], "base64");
    response.writeHead(token === undefined ? 401 : 200, { "WWW-Authenticate": "Negotiate" }).end();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  try {
    const address = server.address();
    if (address === null || typeof address === "string")
      throw new Error("unreachable: a TCP server has a port");
    await curl(["--negotiate", "-u", ":", `http://localhost:${address.port}/`], ticket);
  } finally {
    server.close();
  }
  if (token === undefined) throw new Error("curl sent no token: has the user a ticket?");
  return token;
}
