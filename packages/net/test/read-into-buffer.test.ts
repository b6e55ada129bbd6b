import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type TLSSocket } from "node:tls";
import { afterEach, expect, it } from "vitest";
import { asPeerSocket, PSK_CIPHERS } from "../src/peer-tls.js";
import { readIntoBuffer } from "../src/read-into-buffer.js";

const psk = Buffer.alloc(32, 7);
const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** Both ends of one TLS connection: dialled, accepted. */
async function pair(): Promise<[TLSSocket, TLSSocket]> {
  const server = createServer({ minVersion: "TLSv1.3", ciphers: PSK_CIPHERS, pskCallback: () => psk });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("unreachable: no port");
  const accepted = once(server, "secureConnection");
  const dialled = connect({
    host: "127.0.0.1",
    port: address.port,
    minVersion: "TLSv1.3",
    ciphers: PSK_CIPHERS,
    ca: [],
    checkServerIdentity: () => undefined,
    pskCallback: () => ({ psk, identity: "test" }),
  });
  await once(dialled, "secureConnect");
  const [other]: TLSSocket[] = await accepted;
  if (other === undefined) throw new Error("unreachable: no socket");
  cleanups.push(() => {
    dialled.destroy();
    other.destroy();
    server.close();
  });
  return [dialled, other];
}

for (const end of ["dialled", "accepted"] as const) {
  it(`reads the records of a socket that was ${end} into one buffer`, async () => {
    const [dialled, accepted] = await pair();
    const [from, to] = end === "dialled" ? [accepted, dialled] : [dialled, accepted];
    const sent = randomBytes(1_000_003);
    const got: Buffer[] = [];
    const memory = new Set<ArrayBufferLike>();
    const isRead = readIntoBuffer(to, (bytes) => {
      memory.add(bytes.buffer);
      got.push(Buffer.from(bytes));
    });
    const events: Uint8Array[] = [];
    to.on("data", (bytes) => events.push(bytes));
    from.end(sent);
    await once(to, "close");
    expect([isRead, memory.size, events.length]).toEqual([true, 1, 0]);
    expect(Buffer.concat(got).equals(sent)).toBe(true);
  });
}

it("delivers in order what came before anybody listened, and what came while reading was paused", async () => {
  const [from, to] = await pair();
  const sent = randomBytes(400_000);
  from.write(sent.subarray(0, 50_000));
  await once(to, "readable");
  const socket = asPeerSocket(to);
  const got: Buffer[] = [];
  let isPaused = false;
  const closed = new Promise<void>((resolve) => {
    socket.listen({
      data: (bytes) => {
        got.push(Buffer.from(bytes));
        if (isPaused) return;
        isPaused = true;
        socket.pause();
        setImmediate(() => {
          isPaused = false;
          socket.resume();
        });
      },
      closed: () => resolve(),
    });
  });
  from.end(sent.subarray(50_000));
  await closed;
  expect(Buffer.concat(got).equals(sent)).toBe(true);
});

it("leaves a socket alone that is closed", async () => {
  const [dialled] = await pair();
  dialled.destroy();
  expect(readIntoBuffer(dialled, () => {})).toBe(false);
});
