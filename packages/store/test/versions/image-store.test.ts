import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isAppError, silentLogger } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ImageStore, NO_WASTE, packKey } from "../../src/index.js";
import { SamplePair } from "../sample-pair.js";

const deps = { clock: new VirtualClock(), logger: silentLogger };

describe("image store", () => {
  let dir: string;
  let store: ImageStore;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "ckmesh-store-"));
    store = await ImageStore.open(join(dir, "s"), deps);
  });
  afterEach(async () => {
    await store.close();
    await rm(dir, { recursive: true, force: true });
  });

  it("refuses a second client on one store and names it", async () => {
    const err: unknown = await ImageStore.open(join(dir, "s"), deps).catch((e: unknown) => e);
    expect(isAppError(err, "ERR_STORE_BUSY") && err.message).toContain(join(dir, "s"));
  });

  it("can be opened again once it was closed", async () => {
    await store.close();
    store = await ImageStore.open(join(dir, "s"), deps);
    expect(await store.images()).toEqual([]);
  });

  it("is for its owner only", async () => {
    expect((await stat(store.dir)).mode & 0o777).toBe(0o700);
  });

  it("refuses what does not fit and says how much is missing", async () => {
    const err: unknown = await store
      .requireSpace(Number.MAX_SAFE_INTEGER, "Win version 1")
      .catch((e: unknown) => e);
    expect(isAppError(err, "ERR_STORE_FULL") && err.message).toMatch(/Win version 1 needs .* must stay free/);
  });

  it("keeps the record of an image", async () => {
    const record = {
      active: 2,
      highest: { version: 3, id: "ab" },
      alias: { etag: '"x"', version: 3 },
      versions: [
        {
          version: 3,
          id: "ab",
          state: "verified" as const,
          isPrivate: true,
          isFramesIndex: false,
          wasted: NO_WASTE,
        },
      ],
    };
    await store.loadRecord("Win");
    await store.saveRecord("Win", record);
    expect(await store.loadRecord("Win")).toEqual(record);
  });

  it("puts a damaged record aside", async () => {
    await store.loadRecord("Win");
    await writeFile(join(store.folder("Win"), "state.json"), '{"format":1,"versions":[{"version":-1}]}');
    expect(await store.loadRecord("Win")).toEqual({ versions: [] });
    expect(await readdir(store.folder("Win"))).toEqual(["state.json.damaged"]);
  });

  it("lists versions by their heads and leaves everything else alone", async () => {
    const pair = await SamplePair.create(1);
    try {
      const folder = store.folder("Win");
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, "Win_1.ckm.index"), pair.index);
      await writeFile(join(folder, "Win_2.ckm.index"), pair.index);
      await writeFile(join(folder, "Win_3.ckm.index.partial"), "short");
      await writeFile(join(folder, "notes.txt"), "mine");
      expect((await store.versions("Win")).map((v) => [v.version, v.isComplete])).toEqual([[1, false]]);
      await writeFile(join(folder, "Win_1.ckm"), pair.pack);
      expect((await store.versions("Win")).map((v) => [v.version, v.isComplete])).toEqual([[1, true]]);
    } finally {
      await pair.close();
    }
  });

  it("finds frames of other packs, forgets removed ones, and survives the loss of its hints", async () => {
    const pair = await SamplePair.create(1);
    try {
      await mkdir(store.folder("Win"), { recursive: true });
      await writeFile(join(store.folder("Win"), "Win_1.ckm"), pair.pack);
      await writeFile(join(store.folder("Win"), "Win_1.ckm.index"), pair.index);
      const files = await store.openVersion("Win", pair.headBlock);
      await store.noteFrames(files);
      const hash = files.frames?.hash(3) ?? new Uint8Array();
      const hint = { pack: "Win/1", offset: files.frames?.offset(3), length: files.frames?.packedLength(3) };
      expect(await store.hints.find([hash, new Uint8Array(32)])).toEqual([hint, undefined]);

      await store.close();
      for (const file of await readdir(join(store.dir, "hints"))) {
        if (file.startsWith("MANIFEST") || file === "CURRENT")
          await writeFile(join(store.dir, "hints", file), "garbage");
      }
      store = await ImageStore.open(store.dir, deps);
      expect(await store.hints.find([hash])).toEqual([undefined]);
      await store.noteFrames(files);
      expect(await store.hints.find([hash])).toEqual([hint]);
      await files.close();
      await store.removeVersion("Win", 1);
      expect(await store.hints.find([hash])).toEqual([undefined]);
      expect(store.hints.has(packKey("Win", 1))).toBe(false);
      expect(await readdir(store.folder("Win"))).toEqual([]);
    } finally {
      await pair.close();
    }
  });

  it("leaves alone folders and files that stand where an index or an image would", async () => {
    await mkdir(join(store.folder("Win11"), "Win11_1.ckm.index"), { recursive: true });
    await writeFile(join(store.dir, "images", "file"), "");
    expect(await store.images()).toEqual(["Win11"]);
    expect(await store.versions("Win11")).toEqual([]);
  });

  it("removes what a crash left of a disk that was being rebuilt", async () => {
    const left = join(store.folder("Win11"), ".Win11_1.img.0123456789ab.tmp");
    await mkdir(store.folder("Win11"), { recursive: true });
    await writeFile(left, "half");
    await store.close();
    store = await ImageStore.open(join(dir, "s"), deps);
    expect(await readdir(store.folder("Win11"))).toEqual([]);
  });

  it("removes the deltas to a version with those to the steps on the way there, and no others", async () => {
    const folder = store.folder("Win");
    await mkdir(folder);
    const names = [
      "Win_2.from_1.ckm.partial",
      "Win_3.from_2.ckm.step.have",
      "Win_3.from_2.ckm.index.partial",
    ];
    for (const name of [...names, "Win_4.from_3.ckm.partial"]) await writeFile(join(folder, name), "");
    await store.removeDeltasTo("Win", 3);
    expect(await readdir(folder)).toEqual(["Win_4.from_3.ckm.partial"]);
  });

  it("switches the active version by one file that others may read", async () => {
    await store.loadRecord("Win");
    await store.setActive("Win", 2, "Win_2.img");
    const pointer: unknown = JSON.parse(await readFile(join(store.folder("Win"), "active"), "utf8"));
    expect(pointer).toEqual({ version: 2, pack: "Win_2.ckm", disk: "Win_2.img" });
  });
});
