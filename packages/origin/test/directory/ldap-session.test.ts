import { createServer, type Server, type Socket } from "node:net";
import { silentLogger } from "@ckmesh/core";
import { systemClock } from "@ckmesh/runtime";
import { afterEach, describe, expect, it } from "vitest";
import { LdapSession, type LdapSessionOptions } from "../../src/directory/ldap-session.js";

const unavailable = expect.objectContaining({ code: "ERR_AUTH_UNAVAILABLE" });
const configInvalid = expect.objectContaining({ code: "ERR_CONFIG_INVALID" });
/** A bind that succeeded (RFC 4511 §4.2.2), in answer to the first message of ldapts, which bears the number 2. */
const BOUND = Buffer.from("300c02010261070a010004000400", "hex");

describe("LdapSession", () => {
  let end: (() => Promise<void>)[] = [];
  afterEach(async () => {
    await Promise.all(end.map((run) => run()));
    end = [];
  });

  it("gives up a server that never answers, and tells others at once for a while", async () => {
    const server = await listen(() => {});
    const session = open({ url: server.url });
    await expect(session.search("DC=x", {})).rejects.toEqual(unavailable);
    await expect(session.search("DC=x", {})).rejects.toEqual(unavailable);
    await expect(session.isPasswordRight("CN=a,DC=x", "pw")).rejects.toEqual(unavailable);
    expect(server.connections()).toBe(1);
  });

  it("does not ask a server again that hangs after the bind", async () => {
    const server = await listen((socket) => socket.once("data", () => socket.write(BOUND)));
    const session = open({ url: server.url });
    await expect(session.search("DC=x", {})).rejects.toEqual(unavailable);
    await expect(session.search("DC=x", {})).rejects.toEqual(unavailable);
    expect(server.connections()).toBe(1);
  });

  it.each([
    ["noise", "474554202f20485454502f312e310d0a0d0a"],
    ["an endless message", `3084ffffffff${"00".repeat(64)}`],
    ["an empty message", "3000"],
    ["a bind answered as a search", "300c02010265070a010004000400"],
    ["a refusal", "300c02010261070a013104000400"],
  ])("says ERR_AUTH_UNAVAILABLE when its own bind is answered with %s", async (_, hex) => {
    const server = await listen((socket) => socket.once("data", () => socket.write(Buffer.from(hex, "hex"))));
    await expect(open({ url: server.url }).search("DC=x", {})).rejects.toEqual(unavailable);
  });

  it("takes only the refusal of a bind for a wrong password", async () => {
    const answers = [
      BOUND,
      Buffer.from("300c02010261070a013104000400", "hex"),
      Buffer.from("300c02010261070a013304000400", "hex"),
    ];
    const server = await listen((socket) =>
      socket.once("data", () => socket.write(answers.shift() ?? Buffer.from([]))),
    );
    const session = open({ url: server.url });
    expect(await session.isPasswordRight("CN=a,DC=x", "pw")).toBe(true);
    expect(await session.isPasswordRight("CN=a,DC=x", "pw")).toBe(false);
    // 51: busy.
    await expect(session.isPasswordRight("CN=a,DC=x", "pw")).rejects.toEqual(unavailable);
    expect(await session.isPasswordRight("CN=a,DC=x", "")).toBe(false);
    expect(await session.isPasswordRight("", "pw")).toBe(false);
    expect(server.connections()).toBe(3);
  });

  it("refuses addresses without TLS, what is no address, and a bind without name or password", () => {
    for (const options of [
      { url: "ldap://dc.test", allowPlain: false },
      { url: "ldaps://dc.test", startTls: true },
      { url: "http://dc.test" },
      { url: "ldaps://dc.test/DC=x" },
      { url: "dc.test" },
      { url: "ldaps://dc.test", bindDn: "" },
      { url: "ldaps://dc.test", bindPassword: "" },
      { url: "ldaps://dc.test", caFile: "/nowhere/ca.pem" },
    ]) {
      expect(() => open(options)).toThrow(configInvalid);
    }
    expect(open({ url: "ldap://dc.test", startTls: true, allowPlain: false }).isPlain).toBe(false);
    expect(open({ url: "ldaps://[::1]:636", allowPlain: false }).isPlain).toBe(false);
  });

  it("asks nothing once it is closed", async () => {
    const server = await listen(() => {});
    const session = open({ url: server.url });
    await session.close();
    await session.close();
    await expect(session.search("DC=x", {})).rejects.toEqual(unavailable);
    expect(server.connections()).toBe(0);
  });

  function open(options: Partial<LdapSessionOptions>): LdapSession {
    const session = new LdapSession({
      url: "",
      startTls: false,
      allowPlain: true,
      bindDn: "CN=reader,DC=x",
      bindPassword: "pw",
      timeoutMs: 150,
      clock: systemClock,
      logger: silentLogger,
      ...options,
    });
    end.push(() => session.close());
    return session;
  }

  async function listen(accept: (socket: Socket) => void) {
    let connections = 0;
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      connections += 1;
      sockets.push(socket);
      socket.on("error", () => socket.destroy());
      accept(socket);
      socket.resume();
    });
    const port = await portOf(server);
    end.push(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    });
    return { url: `ldap://127.0.0.1:${port}`, connections: () => connections };
  }
});

async function portOf(server: Server): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("unreachable: it listens");
  return address.port;
}
