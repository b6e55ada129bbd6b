import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setImmediate, setTimeout } from "node:timers/promises";
import { lowerThreadPriority } from "../background.js";
import { BlockRuns } from "./block-runs.js";
import { HostFiles } from "./host-files.js";
import type { HostIndexState } from "./host-messages.js";
import { HostScan, type HostScanResult, type HostScanTask } from "./host-scan.js";
import { type HostPlaces, type HostSearchTask, searchHost } from "./host-search.js";
import { MountPoints } from "./mount-points.js";
import { PacedBytes } from "./paced-bytes.js";

/** Most blocks that are noted, of 128 GiB of files: 450 MB on the disk, and as much again during a merge. */
const MAX_BLOCKS = 32 * 1024 * 1024;

/** Work between pauses, ms. Elsewhere than on Linux a pause as long follows. */
const SLICE_MS = 20;

/** What the thread of the host index does: one scan at a time, and searches, also while it scans. */
export class HostThread {
  readonly #files: HostFiles;
  readonly #runs: BlockRuns;
  #scan: HostScan | undefined;
  #isStopped = false;
  readonly #paced: PacedBytes | undefined;
  #sliceStart = performance.now();

  private constructor(files: HostFiles, runs: BlockRuns, paced: PacedBytes | undefined) {
    this.#files = files;
    this.#runs = runs;
    this.#paced = paced;
  }

  /** @param ask asks whether so many bytes may be read; absent: they may */
  static async open(folder: string, ask?: (bytes: number) => void): Promise<HostThread> {
    lowerThreadPriority();
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const blocks = join(folder, "blocks");
    let files = await HostFiles.open(join(folder, "files"));
    if (files === undefined) {
      rmSync(blocks, { recursive: true, force: true });
      files = await HostFiles.open(join(folder, "files"));
    }
    if (files === undefined) throw new Error(`the host index in ${folder} cannot be made`);
    mkdirSync(blocks, { recursive: true, mode: 0o700 });
    return new HostThread(files, BlockRuns.open(blocks), ask && new PacedBytes(ask));
  }

  /** Files known, and whether every folder was looked through once. */
  get state(): HostIndexState {
    return { files: this.#files.count, blocks: this.#runs.records, isComplete: this.#files.isComplete };
  }

  async scan(task: HostScanTask): Promise<HostScanResult> {
    const scan = new HostScan({
      files: this.#files,
      runs: this.#runs,
      mounts: MountPoints.read(),
      maxBlocks: MAX_BLOCKS,
      isStopped: () => this.#isStopped,
      pause: () => this.#pause(),
      admit: async (bytes) => await this.#paced?.admit(bytes),
    });
    this.#scan = scan;
    try {
      return await scan.run(task);
    } finally {
      this.#scan = undefined;
    }
  }

  async search(task: HostSearchTask): Promise<HostPlaces> {
    await this.#scan?.flush();
    return await searchHost(task, this.#files, this.#runs);
  }

  /** What was asked for may be read. */
  admitted(): void {
    this.#paced?.admitted();
  }

  /** Ends a scan soon. */
  stop(): void {
    this.#isStopped = true;
    this.#paced?.end();
  }

  async close(): Promise<void> {
    await this.#files.close();
  }

  async #pause(): Promise<void> {
    if (performance.now() - this.#sliceStart < SLICE_MS) return;
    if (process.platform === "linux") await setImmediate();
    else await setTimeout(SLICE_MS);
    this.#sliceStart = performance.now();
  }
}
