import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DeltaFile, IndexFile } from "@ckmesh/image";
import { type CommandRun, timedCommand } from "../timed-command.js";
import { planChain } from "./chain-plan.js";
import { bytesOf, missingIndexBytes } from "./site-bytes.js";
import { megabytes, type UpdateCost } from "./update-cost.js";

const MAIN = fileURLToPath(new URL("../../../packages/cli/bundle/bin/ckmesh.js", import.meta.url));
const NAME = "Bench";

/** Versions 1, 2 … of a disk, packed one after the other as an admin does, and deltas between them. */
export class PackedVersions {
  readonly #folder: string;
  readonly #packed: CommandRun[] = [];
  readonly #deltas = new Map<string, CommandRun>();

  /** @param folder empty, and of this object alone */
  constructor(folder: string, images: readonly string[]) {
    this.#folder = folder;
    for (const [i, image] of images.entries()) {
      const previous = i === 0 ? [] : ["--previous", folder];
      this.#packed.push(ckmesh("pack", image, "--name", NAME, "--out", folder, ...previous));
    }
  }

  /** What the newest version costs whoever is that many versions behind. */
  async costs(behind: number): Promise<readonly UpdateCost[]> {
    const target = this.#packed.length;
    const base = target - behind;
    const [first, second] = [this.#made(base), this.#made(target)];
    const firstBytes = fact(first, "packBytes") + fact(first, "indexBytes");
    const direct = await this.#deltaCost(base, target);
    const rows: UpdateCost[] = [
      {
        tool: "**ckmesh, delta**",
        firstBytes,
        updateBytes: direct.bytes,
        first,
        update: direct.made,
        note: direct.note,
      },
    ];
    if (behind > 1) rows.push(await this.#chain(base, target), await this.#clientChain(base, target));
    else
      rows.push({
        tool: "ckmesh, plain frames",
        updateBytes:
          fact(second, "newBytes") +
          (await missingIndexBytes(this.#index(String(base)), this.#index(String(target)))),
        update: second,
        note: "a version without a delta",
      });
    return rows;
  }

  /** Through every version between. */
  async #chain(base: number, target: number): Promise<UpdateCost> {
    let [bytes, cpuSec] = [0, 0];
    for (let version = base + 1; version <= target; version++) {
      const step = await this.#deltaCost(version - 1, version); // oxlint-disable-line no-await-in-loop
      bytes += step.bytes;
      cpuSec += step.made.cpuSec;
    }
    return {
      tool: "ckmesh, delta after delta",
      updateBytes: bytes,
      update: { stdout: "", cpuSec },
      note: `${target - base} deltas, and as many indexes of versions`,
    };
  }

  /** The same as a client goes that way: of the versions between it brings only what the next delta needs. */
  async #clientChain(base: number, target: number): Promise<UpdateCost> {
    const numbers = Array.from({ length: target - base + 1 }, (_, i) => base + i);
    const versions = await Promise.all(numbers.map((n) => IndexFile.open(bytesOf(this.#index(String(n))))));
    const deltas = await Promise.all(
      numbers.slice(1).map((n) => DeltaFile.open(bytesOf(this.#index(`${n}.from_${n - 1}`)))),
    );
    const { deltas: deltaBytes, plain, index, steps } = await planChain(versions, deltas);
    const own = await missingIndexBytes(this.#index(String(base)), this.#index(String(target)));
    const parts = `deltas ${megabytes(deltaBytes)}, frames outside them ${megabytes(plain)}, indexes between ${megabytes(index)}`;
    return {
      tool: "ckmesh, client that goes that way",
      updateBytes: deltaBytes + plain + index + own,
      note: `${parts}, of the version ${megabytes(own)}; ${megabytes(steps)} on its disk meanwhile`,
    };
  }

  /** All that is fetched: head and missing pieces of the version's index, the delta pair, frames left out of it. */
  async #deltaCost(base: number, target: number): Promise<{ bytes: number; made: CommandRun; note: string }> {
    const made = this.#delta(base, target);
    const data = fact(made, "packBytes") + fact(made, "plainBytes");
    const deltaIndex = fact(made, "indexBytes");
    const index = await missingIndexBytes(this.#index(String(base)), this.#index(String(target)));
    const note = `frames ${megabytes(data)}, index of the delta ${megabytes(deltaIndex)}, of the version ${megabytes(index)}`;
    return { bytes: data + deltaIndex + index, made, note };
  }

  /** Makes it once, and proves every frame that it yields. */
  #delta(base: number, target: number): CommandRun {
    const key = `${target}.from_${base}`;
    let made = this.#deltas.get(key);
    if (made === undefined) {
      made = ckmesh("delta", this.#index(String(base)), this.#index(String(target)));
      const verified = ckmesh("verify", this.#index(key));
      if (fact(verified, "packedAgain") !== fact(made, "frames"))
        throw new Error(`not every frame of ${key} yields the one of the version`);
      this.#deltas.set(key, made);
    }
    return made;
  }

  #made(version: number): CommandRun {
    const run = this.#packed[version - 1];
    if (run === undefined) throw new Error(`there is no version ${version}`);
    return run;
  }

  #index(version: string): string {
    return join(this.#folder, `${NAME}_${version}.ckm.index`);
  }
}

function ckmesh(...args: readonly string[]): CommandRun {
  return timedCommand(process.execPath, [MAIN, ...args, "--json"]);
}

/** A number of the last JSON line that a command of ours printed. */
function fact(run: CommandRun, key: string): number {
  const line: unknown = JSON.parse(run.stdout.trim().split("\n").at(-1) ?? "");
  const value: unknown = typeof line === "object" && line !== null ? Reflect.get(line, key) : undefined;
  if (typeof value !== "number") throw new Error(`no ${key} in ${run.stdout}`);
  return value;
}
