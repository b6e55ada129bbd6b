import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { describeError, type Logger } from "@ckmesh/core";

export interface LanSocketsOptions {
  readonly group: string;
  readonly udpPort: number;
  readonly logger: Logger;
  /** A datagram from the LAN. `answer` goes to its sender alone. */
  readonly received: (bytes: Uint8Array, from: string, answer: (bytes: Uint8Array) => void) => void;
}

/** What the announcer needs of the network. */
export interface LanPort {
  /** Listens and sends on the interfaces with these addresses, instead of those before. False: try again later. */
  open(addresses: readonly string[]): Promise<boolean>;
  /** To the group, on every interface. */
  send(bytes: Uint8Array): void;
  close(): Promise<void>;
}

/**
 * UDP multicast on chosen IPv4 interfaces, TTL 1. One socket hears the group on all of them; each interface has
 * a socket of its own to send from, because the operating system would choose one interface for all. Trouble
 * with one is logged once and ends nothing.
 */
export class LanSockets implements LanPort {
  readonly #options: LanSocketsOptions;
  #listener: Socket | undefined;
  #senders = new Map<string, Socket>();
  /** What was complained about since it last worked. */
  readonly #complaints = new Set<string>();

  constructor(options: LanSocketsOptions) {
    this.#options = options;
  }

  async open(addresses: readonly string[]): Promise<boolean> {
    await this.close();
    if (addresses.length === 0) return true;
    const { group, udpPort } = this.#options;
    const listener = await this.#bind("0.0.0.0", udpPort, true);
    if (listener === undefined) return false;
    this.#listener = listener;
    for (const address of addresses) {
      if (!this.#attempt(address, () => listener.addMembership(group, address))) continue;
      const sender = await this.#bind(address, 0, false);
      if (sender === undefined) continue;
      const isReady = this.#attempt(address, () => {
        sender.setMulticastInterface(address);
        sender.setMulticastTTL(1);
        sender.setMulticastLoopback(true); // other clients on this machine
      });
      if (isReady) this.#senders.set(address, sender);
      else await closed(sender);
    }
    return this.#senders.size === addresses.length;
  }

  send(bytes: Uint8Array): void {
    for (const [address, sender] of this.#senders) this.#sendFrom(sender, address, bytes, this.#options);
  }

  async close(): Promise<void> {
    const sockets = [...this.#senders.values()];
    if (this.#listener !== undefined) sockets.push(this.#listener);
    this.#senders = new Map();
    this.#listener = undefined;
    await Promise.all(sockets.map(closed));
  }

  async #bind(address: string, port: number, reuseAddr: boolean): Promise<Socket | undefined> {
    const socket = createSocket({ type: "udp4", reuseAddr });
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once("error", reject);
        socket.bind({ address, port, exclusive: true }, () => {
          socket.off("error", reject);
          resolve();
        });
      });
    } catch (err) {
      this.#complain(`${address}:${port}`, err);
      await closed(socket);
      return undefined;
    }
    this.#complaints.delete(`${address}:${port}`);
    socket.on("error", (err) => this.#complain(address, err));
    socket.on("message", (bytes, from) => this.#received(bytes, from));
    return socket;
  }

  #received(bytes: Uint8Array, from: RemoteInfo): void {
    this.#options.received(bytes, from.address, (answer) => {
      const sender = this.#listener;
      if (sender !== undefined) {
        this.#sendFrom(sender, from.address, answer, { group: from.address, udpPort: from.port });
      }
    });
  }

  #sendFrom(
    socket: Socket,
    name: string,
    bytes: Uint8Array,
    to: { readonly group: string; readonly udpPort: number },
  ): void {
    this.#attempt(name, () =>
      socket.send(bytes, to.udpPort, to.group, (err) => {
        if (err === null) this.#complaints.delete(name);
        else this.#complain(name, err);
      }),
    );
  }

  #attempt(name: string, run: () => void): boolean {
    try {
      run();
      return true;
    } catch (err) {
      this.#complain(name, err);
      return false;
    }
  }

  #complain(name: string, err: unknown): void {
    if (this.#complaints.has(name) || this.#complaints.size > 256) return;
    this.#complaints.add(name);
    this.#options.logger.warn(
      { interface: name, reason: describeError(err) },
      "lan announcements fail on this interface; peers there are found by the tracker only",
    );
  }
}

async function closed(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => {
    try {
      socket.close(() => resolve());
    } catch {
      resolve(); // it was closed already
    }
  });
}
