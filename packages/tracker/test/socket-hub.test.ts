import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, type Socket } from "node:net";
import { silentLogger } from "@ckmesh/core";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SocketHub } from "../src/socket-hub.js";

let server: Server;
let hub: SocketHub;
let client: Socket;
const dropped: string[] = [];
let closed: Promise<number>;
let connection = 0;

/** A client that completes the handshake and then neither reads nor answers. */
beforeEach(async () => {
  dropped.length = 0;
  const opened = new Promise<number>((resolveOpened) => {
    closed = new Promise((resolveClosed) => {
      hub = new SocketHub({
        maxConnections: 10,
        maxConnectionsPerAddress: 10,
        logger: silentLogger,
        onOpened: resolveOpened,
        onMessage: () => {},
        onClosed: resolveClosed,
        onDropped: (reason) => dropped.push(reason),
      });
    });
  });
  server = createServer();
  server.on("upgrade", (req, socket, head) => hub.handleUpgrade(req, socket, head));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  client = connect(typeof address === "object" && address !== null ? address.port : 0, "127.0.0.1");
  client.on("error", () => {});
  client.write(
    "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
  );
  connection = await opened;
  client.pause();
});
afterEach(async () => {
  client.destroy();
  await hub.end();
  await new Promise((resolve) => server.close(resolve));
});

describe("SocketHub", () => {
  it("cuts off a client that does not read, before much is queued for it", async () => {
    const message = new Uint8Array(16 * 1024);
    const before = process.memoryUsage().arrayBuffers;
    // The kernel takes some megabytes; then our own queue grows to 256 KiB and no further.
    for (let i = 0; i < 100_000 && dropped.length === 0; i += 1) {
      hub.send(connection, message);
      // oxlint-disable-next-line no-await-in-loop -- lets the socket write
      if (i % 8 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(dropped).toEqual(["unread"]);
    expect(await closed).toBe(connection);
    expect(hub.size).toBe(0);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
  });

  it("ends a client that gives no sign of life from one check to the next", async () => {
    hub.checkLife();
    expect(hub.size).toBe(1);
    hub.checkLife();
    expect(dropped).toEqual(["silent"]);
    expect(await closed).toBe(connection);
  });
});
