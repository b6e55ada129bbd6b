import { randomBytes } from "node:crypto";
import { mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AppError, type Clock, seededRandom } from "@ckmesh/core";
import { OriginCalls } from "@ckmesh/net";
import { afterEach } from "vitest";
import type { UploadWorld } from "../src/upload-file.js";
import { UploadResumeFile } from "../src/upload-resume-file.js";
import { FileSource, type UploadSource } from "../src/upload-source.js";
import { type UploadProgress, uploadVersion, type VersionUploaded } from "../src/upload-version.js";
import { BitsServer } from "./bits-server.js";

/** Waits of minutes pass in seconds. */
const SPEED = 50;
export const fastClock: Clock = {
  now: () => performance.now() * SPEED,
  wall: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms / SPEED);
    return () => clearTimeout(timer);
  },
};

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

export async function tempFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "ckmesh-upload-"));
  closers.push(async () => await rm(folder, { recursive: true }));
  return folder;
}

/** A file of random bytes, and the source of it. */
export async function makeFile(path: string, size: number): Promise<{ bytes: Buffer; source: FileSource }> {
  const bytes = randomBytes(size);
  await writeFile(path, bytes);
  const source = await FileSource.open(path);
  closers.push(async () => await source.close());
  return { bytes, source };
}

/** As an editor does it that saves. */
export async function touch(path: string): Promise<void> {
  const later = new Date(Date.now() + 5000);
  await utimes(path, later, later);
}

export async function startServer(): Promise<{ server: BitsServer; url: string }> {
  const server = new BitsServer();
  const url = await server.start();
  closers.push(async () => await server.close());
  return { server, url };
}

function worldOf(url: string, more: Partial<UploadWorld> = {}): UploadWorld {
  const calls = new OriginCalls({ baseUrl: url, clock: fastClock });
  closers.push(async () => await calls.close());
  return {
    calls,
    pacer: undefined,
    clock: fastClock,
    random: seededRandom(1),
    signal: new AbortController().signal,
    ...more,
  };
}

export interface Told {
  readonly progress: UploadProgress[];
  readonly retries: AppError[];
  readonly waiting: string[];
  readonly unresumable: unknown[];
}

/** Uploads Win11 version 2; `folder`: of the resume file, if there is to be one. */
export async function upload(
  url: string,
  files: { readonly index: UploadSource; readonly pack: UploadSource },
  folder: string | undefined,
  more: Partial<UploadWorld> = {},
): Promise<{ result: VersionUploaded | AppError; told: Told }> {
  const told: Told = { progress: [], retries: [], waiting: [], unresumable: [] };
  const resume =
    folder === undefined ? undefined : await UploadResumeFile.open(join(folder, "Win11_2.ckm.upload"), url);
  const result = await uploadVersion(
    {
      version: { name: "Win11", version: 2, idHex: "ab".repeat(32), ...files },
      ...(resume !== undefined && { resume }),
      onProgress: (progress) => told.progress.push(progress),
      onRetry: (reason) => told.retries.push(reason),
      onWaiting: (reason) => told.waiting.push(reason),
      onUnresumable: (reason) => told.unresumable.push(reason),
    },
    worldOf(url, more),
  ).catch((err: AppError) => err);
  return { result, told };
}
