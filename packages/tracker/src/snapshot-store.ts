import { rm } from "node:fs/promises";
import {
  AppError,
  decodeMsgpack,
  describeError,
  encodeMsgpack,
  Fields,
  fromHex,
  isAppError,
  type Logger,
  toHex,
} from "@ckmesh/core";
import { MAX_PEERS_PER_ANSWER, type PeerAddress, parseIp } from "@ckmesh/wire";
import { Level } from "level";
import type { RememberedSwarm } from "./swarm-table.js";
import { MAX_OFFERS_PER_PEER, SNAPSHOT_MAX_AGE_MS } from "./tracker-rules.js";

/** Most swarms that are read back. */
const MAX_SWARMS = 100_000;
const MAX_VALUE_BYTES = 64 * 1024;
const CODE = "ERR_STORE_CORRUPT";

/** Swarms and addresses on disk, for a warm start. They are hints: what is damaged is dropped. */
export class SnapshotStore {
  readonly #level: Level<string, Uint8Array>;

  private constructor(level: Level<string, Uint8Array>) {
    this.#level = level;
  }

  /**
   * Opens or makes the database; a damaged one is emptied.
   * @throws {AppError} ERR_STORE_BUSY when another tracker uses it, ERR_STORE_CORRUPT when it cannot be made
   */
  static async open(folder: string, logger: Logger): Promise<SnapshotStore> {
    try {
      return new SnapshotStore(await openLevel(folder));
    } catch (err) {
      if (isAppError(err)) throw err;
      logger.warn({ folder, reason: describeError(err) }, "tracker snapshot unreadable, starting without");
    }
    try {
      await rm(folder, { recursive: true, force: true });
      return new SnapshotStore(await openLevel(folder));
    } catch (cause) {
      if (isAppError(cause)) throw cause;
      throw new AppError(CODE, `cannot use the state folder ${folder}; check that it is writable`, { cause });
    }
  }

  /** What was written at most 10 minutes before `wall` (Unix ms); older rows are removed. */
  async load(wall: number): Promise<readonly RememberedSwarm[]> {
    const found: RememberedSwarm[] = [];
    const stale: string[] = [];
    for await (const [key, value] of this.#level.iterator()) {
      const swarm = found.length < MAX_SWARMS ? decodeRow(key, value, wall) : undefined;
      if (swarm === undefined) stale.push(key);
      else found.push(swarm);
    }
    await this.#level.batch(stale.map((key) => ({ type: "del" as const, key })));
    return found;
  }

  /** @param wall Unix ms */
  async save(swarms: readonly RememberedSwarm[], wall: number): Promise<void> {
    await this.#level.batch(
      swarms.map((swarm) =>
        swarm.peers.length === 0
          ? { type: "del" as const, key: swarm.key }
          : { type: "put" as const, key: swarm.key, value: encodeRow(swarm, wall) },
      ),
    );
  }

  async close(): Promise<void> {
    await this.#level.close();
  }
}

async function openLevel(folder: string): Promise<Level<string, Uint8Array>> {
  const level = new Level<string, Uint8Array>(folder, { keyEncoding: "utf8", valueEncoding: "view" });
  try {
    await level.open();
  } catch (cause) {
    if (causeCode(cause) === "LEVEL_LOCKED") {
      throw new AppError(
        "ERR_STORE_BUSY",
        `another tracker uses ${folder}; stop it or give another --state`,
        {
          cause,
        },
      );
    }
    throw cause;
  }
  return level;
}

function causeCode(err: unknown): unknown {
  if (!(err instanceof Error)) return undefined;
  const inner: unknown = err.cause;
  return inner instanceof Error && "code" in inner ? inner.code : undefined;
}

function encodeRow(swarm: RememberedSwarm, wall: number): Uint8Array {
  const peers = swarm.peers.map(({ peerId, offers }) => [
    fromHex(peerId, 32),
    offers.map((offer) => [offer.address, offer.port]),
  ]);
  return encodeMsgpack({ wall, peers });
}

/** Undefined for a row that is too old, of the future, or damaged. */
function decodeRow(key: string, value: Uint8Array, wall: number): RememberedSwarm | undefined {
  try {
    const swarm = fromHex(key.slice(0, 64), 32);
    const fields = new Fields(decodeMsgpack(value, MAX_VALUE_BYTES, CODE), "row", CODE);
    const age = wall - fields.int("wall", 0, Number.MAX_SAFE_INTEGER);
    if (swarm === undefined || age < 0 || age > SNAPSHOT_MAX_AGE_MS) return undefined;
    return { key, swarm, peers: fields.list("peers", MAX_PEERS_PER_ANSWER).map(decodePeer) };
  } catch (err) {
    if (isAppError(err, CODE)) return undefined;
    throw err;
  }
}

function decodePeer(item: unknown): { peerId: string; offers: readonly PeerAddress[] } {
  const [id, offers] = Array.isArray(item) ? item : [];
  const fields = new Fields({ id, offers }, "peer", CODE);
  return {
    peerId: toHex(fields.bytes("id", 32)),
    offers: fields.list("offers", MAX_OFFERS_PER_PEER).map((offer) => {
      const [address, port] = Array.isArray(offer) ? offer : [];
      const pair = new Fields({ address, port }, "offer", CODE);
      const text = pair.string("address", 45);
      if (parseIp(text) === undefined) throw new AppError(CODE, "offer.address must be an IP literal");
      return { address: text, port: pair.int("port", 1, 65_535) };
    }),
  };
}
