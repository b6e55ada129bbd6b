/**
 * An insider that answers every request with bytes of the right length and the wrong content. It knows the image's
 * secret, as every client does that the origin let in, and speaks through the real transport.
 *   node --import tsx hostile-peer.ts INDEX OWN-PORT ADDRESS:PORT…
 * Dials the addresses again and again; prints one JSON line for each link that ends: `{peer, pieces, seconds}`.
 */
import { silentLogger } from "@ckmesh/core";
import { deriveSwarmKeys } from "@ckmesh/image";
import { Identity, type PeerLink, PeerTransport, type RowSizes } from "@ckmesh/net";
import { cryptoRandom, systemClock } from "@ckmesh/runtime";
import { openIndex } from "@ckmesh/store";

const DIAL_EVERY_MS = 500;
const [indexPath = "", ownPort = "", ...addresses] = process.argv.slice(2);
const index = await openIndex(indexPath);
const frames = await index.frames();
const { signed, layout } = index;

/** Rows in `length` bytes of one file from `first` on; the guard of the transport asks for it. */
function rowsLength(first: number, length: number): number | undefined {
  const end = layout.isPiece(first) ? layout.pieceRows : layout.rows;
  let [row, left] = [first, length];
  for (; left > 0 && row < end; row++) left -= rowBytes(row);
  return left === 0 && row > first ? row - first : undefined;
}

function rowBytes(row: number): number {
  return layout.isPiece(row) ? layout.piece(row).length : frames.packedLength(row - layout.pieceRows);
}

function poison(link: PeerLink): void {
  let pieces = 0;
  const since = performance.now();
  link.start({
    message(m) {
      if (m.type !== "request") return;
      pieces += 1;
      link.send({ type: "piece", row: m.row, bytes: Buffer.alloc(m.length, "poison") });
    },
    drained() {},
    closed() {
      const seconds = (performance.now() - since) / 1000;
      process.stdout.write(`${JSON.stringify({ peer: link.address, pieces, seconds })}\n`);
    },
  });
  link.send({ type: "have-all" });
  link.send({ type: "unchoke" });
}

const sizes: RowSizes = { rows: layout.rows, rowsLength };
const transport = new PeerTransport({
  identity: Identity.generate(),
  listen: { host: "0.0.0.0", port: Number(ownPort) },
  peerClass: "wired",
  clock: systemClock,
  random: cryptoRandom,
  logger: silentLogger,
});
await transport.listen();
const keys = deriveSwarmKeys(signed.head.secret, signed.id);
const swarm = transport.addSwarm({ versionId: signed.id, ...keys, layout: sizes, onPeer: poison });
const never = new AbortController().signal;
setInterval(() => {
  for (const text of addresses) {
    const [address = "", port = ""] = text.split(":");
    // Not up yet, or it has banned us: the next round tries again.
    swarm.dial({ address, port: Number(port) }, never).catch(() => {});
  }
}, DIAL_EVERY_MS);
process.stdout.write(`${JSON.stringify({ ready: true })}\n`);
