import type { Duplex } from "node:stream";

/** How long a client may take to read that its request was refused for good. */
const LINGER_MS = 2000;

/**
 * The last words on a connection that Node does not look after any more. The other side may never close its
 * half: what it still sends is dropped, and soon the connection too.
 */
export function endWith(socket: Duplex, text: string): void {
  const cut = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once("close", () => clearTimeout(cut));
  socket.end(text);
  socket.resume();
}
