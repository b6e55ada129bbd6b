import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { Identity } from "@ckmesh/auth";
import { createLogger, systemClock } from "@ckmesh/runtime";
import { onTestFinished } from "vitest";
import { Catalogue } from "../../src/catalogue/catalogue.js";
import { CatalogueCache } from "../../src/catalogue/catalogue-cache.js";
import type { AuditEntry } from "../../src/logs/audit-log.js";
import { OpaqueIndexes } from "../../src/publish/opaque-pack.js";
import type { ProvePairOptions } from "../../src/publish/prove-pair.js";
import { PublishGate } from "../../src/publish/publish-gate.js";
import { verifyInWorker } from "../../src/publish/verify-in-worker.js";
import type { UploadWatcher } from "../../src/uploads/upload-intake.js";
import { Uploads, type UploadsOptions } from "../../src/uploads/uploads.js";
import type { MadePair } from "../make-pair.js";
import { temporaryFolder } from "../origin-fixture.js";

export const ALICE: Identity = { name: "alice", account: "alice" };
export const BOB: Identity = { name: "bob", account: "bob" };

/** What sending a file came to. */
interface SentFile {
  readonly id: string;
  /** Bytes that were not there without being sent. */
  readonly sentBytes: number;
  /** What Close threw. */
  readonly fault: unknown;
}

interface SendOptions {
  readonly user?: Identity;
  readonly fragmentBytes?: number;
  /** Default: the header of a pack. */
  readonly firstBytes?: number;
  /** Leaves the session open after so many bytes. */
  readonly stopAt?: number;
}

export interface UploadBench {
  readonly folder: string;
  readonly root: string;
  readonly uploads: Uploads;
  readonly catalogue: Catalogue;
  readonly cache: CatalogueCache;
  readonly told: readonly string[];
  readonly audited: readonly AuditEntry[];
  /** Sends a file as a session does, to the name of a URL. */
  send(bytes: Uint8Array, name: string, options?: SendOptions): Promise<SentFile>;
  /** Index, then pack, to the alias. */
  sendPair(pair: MadePair, options?: SendOptions): Promise<readonly SentFile[]>;
  stateOf(id: string): string | undefined;
  close(): Promise<void>;
}

export interface BenchOptions {
  /** Goes on in the folder of another one. */
  readonly folder?: string;
  readonly publishers?: readonly Uint8Array[];
  readonly scanMs?: number;
  readonly verify?: ProvePairOptions["verify"];
  readonly overrides?: Partial<UploadsOptions>;
}

/** Gate, catalogue and uploads as an origin has them, without its network. */
export async function openBench(options: BenchOptions = {}): Promise<UploadBench> {
  const folder = options.folder ?? temporaryFolder();
  const [root, state, sessions] = ["images", "state", "sessions"].map((name) => join(folder, name));
  if (root === undefined || state === undefined || sessions === undefined) throw new Error("unreachable");
  for (const path of [root, state, sessions]) mkdirSync(path, { recursive: true });
  const logger = createLogger({ level: "debug", destination: { write: () => {} } });
  const catalogue = new Catalogue();
  const cache = await CatalogueCache.load(state, logger);
  const told: string[] = [];
  const audited: AuditEntry[] = [];
  const prove = {
    publishers: () => options.publishers ?? [],
    opaqueIndexes: await OpaqueIndexes.open(state),
    verify: options.verify ?? verifyInWorker,
    clock: systemClock,
  };
  const gate = new PublishGate({
    root,
    scanMs: options.scanMs ?? 20,
    settleMs: 60,
    ...prove,
    catalogue,
    cache,
    lookAtControls: async () => {},
    lookAtDeltas: () => {},
    beforePublish: async () => {},
    logger,
    onPublished: ({ name, version }, { isNew, uploader }) =>
      told.push(`${name} ${version} ${isNew ? "new" : "again"} by ${uploader?.name ?? "folder"}`),
    onRemoved: ({ name, version }) => told.push(`${name} ${version} removed`),
  });
  await gate.start();
  const uploads = await Uploads.open({
    folder: join(folder, "closed"),
    root,
    gate,
    catalogue,
    cache,
    prove,
    clock: systemClock,
    logger,
    audit: { write: (entry) => void audited.push(entry) },
    allowOverwrites: () => false,
    settleMs: 300,
    holdMs: () => 60_000,
    onGone: () => {},
    ...options.overrides,
  });
  let closing: Promise<unknown> | undefined;
  const close = async (): Promise<void> => {
    closing ??= Promise.all([gate.close(), uploads.close()]);
    await closing;
  };
  onTestFinished(close);
  const send = async (bytes: Uint8Array, name: string, how: SendOptions = {}): Promise<SentFile> => {
    const id = randomUUID();
    const target = uploads.parseTarget(name);
    const user = how.user ?? ALICE;
    await uploads.admit(target);
    const path = join(sessions, id);
    await (await open(path, "wx")).close();
    const watcher = uploads.begin({ sessionId: id, target, user, path, received: 0, total: undefined });
    const sentBytes = await sendFragments(watcher, path, bytes, how);
    if (how.stopAt !== undefined) return { id, sentBytes, fault: undefined };
    try {
      await watcher.close(bytes.byteLength);
      return { id, sentBytes, fault: undefined };
    } catch (fault) {
      return { id, sentBytes, fault };
    }
  };
  return {
    folder,
    root,
    uploads,
    catalogue,
    cache,
    told,
    audited,
    send,
    sendPair: async ({ index, pack, indexName, packName }, how) => [
      await send(index, alias(indexName), how),
      await send(pack, alias(packName), how),
    ],
    stateOf: (id) => uploads.list().find((upload) => upload.id === id)?.state,
    close,
  };
}

/** `NAME.ckm` of `NAME_n.ckm`. */
function alias(fileName: string): string {
  return fileName.replace(/_\d+(?=\.ckm)/, "");
}

/** The first fragment of a pack is its header, as our own uploader sends it. */
async function sendFragments(
  watcher: UploadWatcher,
  path: string,
  bytes: Uint8Array,
  { fragmentBytes = 65_536, firstBytes = 64, stopAt = Infinity }: SendOptions,
): Promise<number> {
  const total = bytes.byteLength;
  let [at, sent, limit] = [0, 0, firstBytes];
  const file = await open(path, "r+");
  try {
    while (at < Math.min(total, stopAt)) {
      const fragment = bytes.subarray(at, at + limit);
      await file.write(fragment, 0, fragment.length, at);
      await watcher.wrote(fragment, at);
      sent += fragment.length;
      const { received, missing } = await watcher.fill(at + fragment.length, total);
      at = received;
      limit = missing === undefined ? fragmentBytes : Math.min(fragmentBytes, missing[1] - at + 1);
    }
  } finally {
    await file.close();
  }
  return sent;
}
