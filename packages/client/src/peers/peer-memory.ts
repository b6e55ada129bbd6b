import { readFile } from "node:fs/promises";
import { AppError, describeError, Fields, type Logger } from "@ckmesh/core";
import { writeAtomic } from "@ckmesh/store";
import { type PeerAddress, parseIp } from "@ckmesh/wire";

const MAX_PEERS = 100;

/** Addresses of peers that were linked, most recent first: what is tried when tracker and multicast are silent. */
export class PeerMemory {
  readonly #path: string;
  readonly #logger: Logger;
  #peers: readonly PeerAddress[];
  #isChanged = false;

  private constructor(path: string, logger: Logger, peers: readonly PeerAddress[]) {
    this.#path = path;
    this.#logger = logger;
    this.#peers = peers;
  }

  /** A damaged file counts as empty. */
  static async load(path: string, logger: Logger): Promise<PeerMemory> {
    try {
      return new PeerMemory(path, logger, parsePeers(await readFile(path, "utf8")));
    } catch (err) {
      logger.debug({ reason: describeError(err) }, "no remembered peers");
      return new PeerMemory(path, logger, []);
    }
  }

  get peers(): readonly PeerAddress[] {
    return this.#peers;
  }

  add(peer: PeerAddress): void {
    if (peer.port === 0) return;
    const isSame = (other: PeerAddress | undefined): boolean =>
      other?.address === peer.address && other.port === peer.port;
    if (isSame(this.#peers[0])) return;
    const others = this.#peers.filter((other) => !isSame(other));
    this.#peers = [peer, ...others].slice(0, MAX_PEERS);
    this.#isChanged = true;
  }

  async save(): Promise<void> {
    if (!this.#isChanged) return;
    this.#isChanged = false;
    try {
      await writeAtomic(this.#path, JSON.stringify({ peers: this.#peers }));
    } catch (err) {
      this.#logger.warn({ err }, "peers not remembered");
    }
  }
}

function parsePeers(text: string): readonly PeerAddress[] {
  const value: unknown = JSON.parse(text);
  return new Fields(value, "peers", "ERR_STORE_CORRUPT").list("peers", MAX_PEERS).map((item) => {
    const f = new Fields(item, "peer", "ERR_STORE_CORRUPT");
    const address = f.string("address", 45);
    if (parseIp(address) === undefined) throw new AppError("ERR_STORE_CORRUPT", "no IP literal");
    return { address, port: f.int("port", 1, 65_535) };
  });
}
