import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { AppError, type Clock, isAppError, type Logger } from "@ckmesh/core";
import { decodeHead, RowLayout } from "@ckmesh/image";
import {
  type ImageRecord,
  ImageStore,
  imageFolder,
  listImages,
  listVersions,
  NO_SOURCE_BYTES,
  NO_WASTE,
  readRecord,
  type StoredVersion,
  storedSourceBytes,
  type VersionRecord,
  versionPaths,
} from "@ckmesh/store";
import { DeltaTally } from "../delta/delta-tally.js";
import { hasArrived } from "../disk/why-not-whole.js";
import { rollbackTarget, unknownVersion } from "../image/rollback-target.js";
import { isFile } from "../is-file.js";
import { type ClientStatus, type ImageStatus, NO_RATE, type VersionStatus } from "../status.js";
import { neededBytes } from "../version/needed-bytes.js";
import { callLocalApi } from "./call-local-api.js";
import type { ControlRequest } from "./control-request.js";

export interface ControlDeps {
  readonly logger: Logger;
  readonly clock: Clock;
}

/**
 * Asks the running client of a store or, where none runs, does it on the folder itself: status and rollback.
 * @throws {AppError} ERR_FILE_NOT_FOUND when check or accept need a running client
 */
export async function controlStore(
  storeDir: string,
  request: ControlRequest,
  deps: ControlDeps,
): Promise<unknown> {
  try {
    return await callLocalApi(storeDir, request);
  } catch (err) {
    if (!isAppError(err, "ERR_FILE_NOT_FOUND")) throw err;
    if (request.command === "status") return await offlineStatus(storeDir, deps.logger);
    if (request.command === "rollback") {
      await offlineRollback(storeDir, request.image, request.version, deps);
      return await offlineStatus(storeDir, deps.logger);
    }
    throw err;
  }
}

/** What the folder says. @throws {AppError} ERR_FILE_NOT_FOUND when it is no store */
async function offlineStatus(storeDir: string, logger: Logger): Promise<ClientStatus> {
  const dir = resolve(storeDir);
  if (!(await isFolder(join(dir, "images"))))
    throw new AppError("ERR_FILE_NOT_FOUND", `${storeDir} is no store: no client has run on it yet`);
  const images: ImageStatus[] = [];
  for (const name of await listImages(dir)) {
    const record = await readRecord(dir, name, logger);
    const versions: VersionStatus[] = [];
    for (const stored of await listVersions(dir, name, logger)) {
      versions.push(await offlineVersion(dir, name, stored, record));
    }
    images.push({ name, ...(record.active !== undefined && { active: record.active }), versions });
  }
  return { store: dir, running: false, images };
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

async function offlineVersion(
  dir: string,
  name: string,
  stored: StoredVersion,
  record: ImageRecord,
): Promise<VersionStatus> {
  const { head, idHex } = decodeHead(stored.headBlock);
  const known = record.versions.find((v) => v.version === stored.version && v.id === idHex);
  const { rows } = new RowLayout(head);
  const paths = versionPaths(imageFolder(dir, name), name, stored.version);
  const held = await storedSourceBytes(paths, head);
  const deltas = new DeltaTally(known?.deltas);
  return {
    version: stored.version,
    id: idHex,
    state: known?.state ?? (stored.isComplete ? "verified" : "fetching"),
    swarming: "no client runs",
    haveRows: stored.isComplete ? rows : held.rows,
    rows,
    needed: neededBytes(head) + deltas.needed,
    bytes: deltas.add(held.bytes ?? NO_SOURCE_BYTES),
    wasted: known?.wasted ?? NO_WASTE,
    rate: NO_RATE,
    peers: 0,
    ...(known?.disk !== undefined && { disk: known.disk }),
    ...(known?.shed !== undefined && !stored.isComplete && { packShed: true }),
    ...(known?.error !== undefined && { error: known.error }),
  };
}

/** Makes an older complete version the active one, without a client; its disk counts if it was rebuilt. */
async function offlineRollback(
  storeDir: string,
  image: string,
  version: number | undefined,
  deps: ControlDeps,
): Promise<void> {
  const store = await ImageStore.open(storeDir, deps);
  try {
    const record = await store.loadRecord(image);
    const stored = await store.versions(image);
    const complete: number[] = [];
    for (const each of stored)
      if (each.isComplete || (await isUsable(store.folder(image), image, each.version, record)))
        complete.push(each.version);
    const target = rollbackTarget(complete, record.active, version);
    if (target === undefined) throw unknownVersion(image, version);
    const disk = record.versions.find((v) => v.version === target)?.disk;
    await store.setActive(image, target, disk);
    await store.saveRecord(image, {
      ...record,
      active: target,
      heldBack: Math.max(target, ...stored.map((s) => s.version)),
      versions: record.versions.map((v) => withState(v, target)),
    });
  } finally {
    await store.close();
  }
}

/** It has no whole pack, but its disk: the pack was given up, or some of its frames are here decoded only. */
async function isUsable(
  folder: string,
  image: string,
  version: number,
  { versions }: ImageRecord,
): Promise<boolean> {
  const known = versions.find((v) => v.version === version);
  if (known?.shed !== undefined) return true;
  if (known?.disk === undefined || !hasArrived(known)) return false;
  return (
    (await isFile(versionPaths(folder, image, version).decoded)) && (await isFile(join(folder, known.disk)))
  );
}

function withState(record: VersionRecord, active: number): VersionRecord {
  if (record.version === active) return { ...record, state: "active" };
  return record.state === "active" ? { ...record, state: "superseded" } : record;
}
