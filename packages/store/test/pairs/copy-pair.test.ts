import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MIB } from "@ckmesh/core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { copyPair, indexOpaquePack, type PairPaths } from "../../src/index.js";
import { SamplePair } from "../sample-pair.js";

/** Copies with the built package, and is killed when the pack has its name and the index has not. */
const KILLED_COPY = `
import { promises } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
const { copyPair } = await import(process.argv[1]);
const { rename } = promises;
promises.rename = async (from, to) => {
  if (to.endsWith(".index")) process.kill(process.pid, "SIGKILL");
  await rename(from, to);
};
syncBuiltinESMExports();
await copyPair(JSON.parse(process.argv[2]));
`;

describe("copy of a pair", () => {
  let sample: SamplePair;
  let from: PairPaths;
  let to: PairPaths;
  beforeAll(async () => {
    sample = await SamplePair.create(6);
    from = pairIn(sample.dir);
    to = pairIn(join(sample.dir, "out"));
  });
  afterAll(() => sample.close());
  beforeEach(() => mkdir(join(sample.dir, "out")));
  afterEach(() => rm(join(sample.dir, "out"), { recursive: true }));

  const left = (): Promise<readonly string[]> => readdir(join(sample.dir, "out"));

  it("is byte for byte the pair, for its owner only, and reports all of its bytes", async () => {
    let reported = 0;
    const copied = await copyPair({ from, to, onProgress: ({ bytesDone }) => (reported = bytesDone) });
    expect(Buffer.compare(await readFile(to.pack), sample.pack)).toBe(0);
    expect(Buffer.compare(await readFile(to.index), sample.index)).toBe(0);
    expect((await stat(to.index)).mode & 0o777).toBe(0o600);
    expect(copied).toEqual({ packBytes: sample.pack.length, indexBytes: sample.index.length });
    expect(reported).toBe(sample.pack.length);
  });

  it.each([
    ["pack", 5 * MIB, "ERR_PACK_INVALID"],
    ["pack", 10, "ERR_PACK_INVALID"],
    ["index", 5000, "ERR_INDEX_INVALID"],
  ] as const)("of a damaged %s, byte %d, fails with %s and leaves nothing", async (file, at, code) => {
    const bytes = Buffer.from(sample[file]);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    const damaged = join(sample.dir, `damaged.${file}`);
    await writeFile(damaged, bytes);
    await expect(copyPair({ from: { ...from, [file]: damaged }, to })).rejects.toMatchObject({ code });
    expect(await left()).toEqual([]);
  });

  it("leaves nothing when it is stopped half way", async () => {
    const stop = new AbortController();
    const onProgress = (): void => stop.abort();
    const copying = copyPair({ from, to, signal: stop.signal, onProgress });
    await expect(copying).rejects.toMatchObject({ code: "ERR_ABORTED" });
    expect(await left()).toEqual([]);
  });

  it("is made whole by the next one after kill -9 between the names of pack and index", async () => {
    const built = new URL("../../dist/index.js", import.meta.url).href;
    const args = ["--input-type=module", "-e", KILLED_COPY, built, JSON.stringify({ from, to })];
    const child = spawn(process.execPath, args, { stdio: "inherit" });
    expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
    expect((await left()).filter((file) => !file.endsWith(".tmp"))).toEqual(["Win_1.ckm"]);
    await copyPair({ from, to });
    expect(Buffer.compare(await readFile(to.pack), sample.pack)).toBe(0);
    expect(Buffer.compare(await readFile(to.index), sample.index)).toBe(0);
    await expect(copyPair({ from, to })).rejects.toMatchObject({ code: "ERR_IMAGE_EXISTS" });
  });

  it("of a foreign pack takes a lone file's place only when that has its very bytes", async () => {
    const foreign = { pack: join(sample.dir, "foreign.bin"), index: join(sample.dir, "foreign.index") };
    await writeFile(foreign.pack, sample.pack.subarray(1));
    const [createdAt, secret] = [1, new Uint8Array(32)];
    const work = { packPath: foreign.pack, indexPath: foreign.index, createdAt, secret };
    await indexOpaquePack({ ...work, name: "Win", version: 1 });
    await writeFile(to.pack, Buffer.from(sample.pack.subarray(1)).fill(0, MIB, MIB + 1));
    const copying = copyPair({ from: foreign, to });
    await expect(copying).rejects.toMatchObject({ code: "ERR_IMAGE_EXISTS" });
    await writeFile(to.pack, sample.pack.subarray(1));
    await copyPair({ from: foreign, to });
    expect((await left()).toSorted()).toEqual(["Win_1.ckm", "Win_1.ckm.index"]);
  });

  it("takes no name that somebody else took meanwhile", async () => {
    const onProgress = (): void => writeFileSync(to.index, "other");
    const copying = copyPair({ from, to, onProgress });
    await expect(copying).rejects.toMatchObject({ code: "ERR_IMAGE_EXISTS" });
    expect(await left()).toEqual(["Win_1.ckm.index"]);
    expect(await readFile(to.index, "utf8")).toBe("other");
  });
});

function pairIn(dir: string): PairPaths {
  return { pack: join(dir, "Win_1.ckm"), index: join(dir, "Win_1.ckm.index") };
}
