import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** Gives a connection to Node's server whose parser was taken off it, with the bytes that come first. */
export function handBack(server: Server, socket: Socket | Duplex, bytes: Buffer): void {
  if (socket.destroyed) return;
  socket.unshift(bytes);
  server.emit("encrypted" in socket ? "secureConnection" : "connection", socket);
}
