import { mkdirSync, rmSync } from "node:fs";
import { getPriority, setPriority } from "node:os";
import { join } from "node:path";
import { setImmediate, setTimeout } from "node:timers/promises";
import { BlockRuns } from "./block-runs.js";
import { HostFiles } from "./host-files.js";
import type { HostIndexState } from "./host-messages.js";
import { HostScan, type HostScanResult, type HostScanTask } from "./host-scan.js";
import { type HostPlaces, type HostSearchTask, searchHost } from "./host-search.js";
import { MountPoints } from "./mount-points.js";

/** Most blocks that are noted, of 128 GiB of files: 450 MB on the disk, and as much again during a merge. */
const MAX_BLOCKS = 32 * 1024 * 1024;

/** On Linux a thread has a nice value of its own, from which its share of the disk follows too. */
const NICE = 10;
/** Work between pauses, ms. Elsewhere than on Linux a pause as long follows. */
const SLICE_MS = 20;

/** What the thread of the host index does: one scan at a time, and searches, also while it scans. */
export class HostThread {
  readonly #files: HostFiles;
  readonly #runs: BlockRuns;
  #scan: HostScan | undefined;
  #isStopped = false;
  #sliceStart = performance.now();

  private constructor(files: HostFiles, runs: BlockRuns) {
    this.#files = files;
    this.#runs = runs;
  }

  static async open(folder: string): Promise<HostThread> {
    // Never back up: that is a right of its own.
    if (process.platform === "linux") setPriority(Math.max(NICE, getPriority()));
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const blocks = join(folder, "blocks");
    let files = await HostFiles.open(join(folder, "files"));
    if (files === undefined) {
      rmSync(blocks, { recursive: true, force: true });
      files = await HostFiles.open(join(folder, "files"));
    }
    if (files === undefined) throw new Error(`the host index in ${folder} cannot be made`);
    mkdirSync(blocks, { recursive: true, mode: 0o700 });
    return new HostThread(files, BlockRuns.open(blocks));
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

  /** Ends a scan soon. */
  stop(): void {
    this.#isStopped = true;
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
