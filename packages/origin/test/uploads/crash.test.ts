import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createLogger } from "@ckmesh/runtime";
import { describe, expect, it } from "vitest";
import { UploadFolder } from "../../src/uploads/upload-folder.js";
import type { UploadRecord } from "../../src/uploads/upload-record.js";
import { parseUploadTarget } from "../../src/uploads/upload-target.js";
import { makePair } from "../make-pair.js";
import { eventually, temporaryFolder } from "../origin-fixture.js";
import { ALICE, openBench } from "./upload-fixture.js";

const V1 = makePair({ name: "win7", version: 1 });
const logger = createLogger({ level: "silent", destination: { write: () => {} } });

function recordOf(id: string, name: string, total: number): UploadRecord {
  return { id, user: ALICE, target: parseUploadTarget(name), total, closedAt: Date.now() };
}

type Crash = (paths: { readonly pack: string; readonly index: string; readonly root: string }) => void;

/** What an origin that was killed leaves: two closed files, as far as `crash` says. */
async function leftBehind(
  crash: (paths: { pack: string; index: string; root: string }) => void,
): Promise<string> {
  const folder = temporaryFolder();
  const [closed, root] = [join(folder, "closed"), join(folder, "images")];
  for (const path of [closed, root]) mkdirSync(path);
  const uploads = new UploadFolder(closed, logger);
  const adopt = async (id: string, name: string, bytes: Uint8Array): Promise<string> => {
    writeFileSync(join(folder, id), bytes);
    await uploads.adopt(recordOf(id, name, bytes.length), join(folder, id));
    return uploads.dataPath(id);
  };
  const pack = await adopt("pack", "win7.ckm", V1.pack);
  const index = await adopt("index", "win7.ckm.index", V1.index);
  crash({ pack, index, root });
  return folder;
}

describe("an origin that was killed", () => {
  const crashes: readonly (readonly [string, Crash])[] = [
    ["before a pair was published", () => {}],
    ["between the pack's place and the index's", ({ pack, root }) => linkSync(pack, join(root, V1.packName))],
    [
      "before it noted what it had placed",
      ({ pack, index, root }) => {
        linkSync(pack, join(root, V1.packName));
        linkSync(index, join(root, V1.indexName));
      },
    ],
  ];

  it.each(crashes)("%s publishes it once", async (_when, crash) => {
    const bench = await openBench({ folder: await leftBehind(crash) });
    await eventually(() => ["pack", "index"].every((id) => bench.stateOf(id) === "published"));
    expect(bench.catalogue.newest("win7")?.id).toBe(V1.idHex);
    expect(readFileSync(join(bench.root, V1.packName)).equals(V1.pack)).toBe(true);
    expect(readFileSync(join(bench.root, V1.indexName)).equals(V1.index)).toBe(true);
    expect(bench.told.filter((line) => line.includes("new"))).toHaveLength(1);
    const closed = join(bench.folder, "closed");
    await eventually(() => readdirSync(closed).every((name) => name.endsWith(".json")));
  });

  it("after publishing, before the staged files were gone, forgets them", async () => {
    const first = await openBench();
    await first.sendPair(V1);
    await eventually(() => first.uploads.heldBytes() === 0);
    await first.close();
    const folder = await leftBehind(() => {});
    renameSync(join(first.folder, "images"), join(first.folder, "old"));
    renameSync(join(folder, "images"), join(folder, "unused"));
    renameSync(join(first.folder, "old"), join(folder, "images"));
    renameSync(join(first.folder, "state"), join(folder, "state"));
    const second = await openBench({ folder });
    await eventually(() => ["pack", "index"].every((id) => second.stateOf(id) === "published"));
    expect(second.told.filter((line) => line.includes("new"))).toEqual([]);
    expect(second.uploads.heldBytes()).toBe(0);
  });

  it("before it noted that a foreign pack is published gives it no second number", async () => {
    const first = await openBench();
    const bytes = Buffer.from("a pack that is not ours");
    const { id } = await first.send(bytes, "win7.ckm");
    await eventually(() => first.stateOf(id) === "published");
    await first.close();
    const closed = new UploadFolder(join(first.folder, "closed"), logger);
    await closed.save(recordOf(id, "win7.ckm", bytes.length));
    linkSync(join(first.root, "win7_1.ckm"), closed.dataPath(id));
    const second = await openBench({ folder: first.folder });
    await eventually(() => second.stateOf(id) === "published");
    expect(second.catalogue.list()[0]?.versions.map(({ version }) => version)).toEqual([1]);
    expect(existsSync(join(second.root, "win7_2.ckm"))).toBe(false);
  });
});

describe("the folder of closed uploads", () => {
  it("drops the record of a file that was not taken over yet", async () => {
    const uploads = new UploadFolder(join(temporaryFolder(), "closed"), logger);
    const record = recordOf("one", "win7.ckm", 5);
    await expect(uploads.adopt(record, "/nowhere/data")).rejects.toThrow("ENOENT");
    expect(await uploads.load()).toEqual([]);
    await uploads.save(record);
    expect(await uploads.load()).toEqual([]);
    expect(readdirSync(uploads.path)).toEqual([]);
  });

  it("drops the file of an upload that has ended, and files of nobody", async () => {
    const folder = temporaryFolder();
    const uploads = new UploadFolder(join(folder, "closed"), logger);
    const record = recordOf("one", "win7.ckm", 5);
    writeFileSync(join(folder, "data"), "bytes");
    await uploads.adopt(record, join(folder, "data"));
    const ended: UploadRecord = {
      ...record,
      end: { state: "refused", code: "ERR_PACK_INVALID", reason: "because", at: 7 },
    };
    await uploads.save(ended);
    writeFileSync(join(uploads.path, "ffff.data"), "nobody's");
    expect(await uploads.load()).toEqual([ended]);
    expect(existsSync(uploads.dataPath("one"))).toBe(false);
    expect(readdirSync(uploads.path)).toHaveLength(1);
  });

  it("keeps what cannot be read just now", async () => {
    const uploads = new UploadFolder(temporaryFolder(), logger);
    mkdirSync(join(uploads.path, "aa.json"));
    writeFileSync(join(uploads.path, "aa.data"), "bytes");
    expect(await uploads.load()).toEqual([]);
    expect(readdirSync(uploads.path)).toEqual(["aa.data", "aa.json"]);
  });

  it("drops a damaged record with its file, and says so", async () => {
    const folder = temporaryFolder();
    const lines: string[] = [];
    const loud = createLogger({ level: "error", destination: { write: (line) => lines.push(line) } });
    const uploads = new UploadFolder(folder, loud);
    writeFileSync(join(folder, "aa.json"), '{"id":7}');
    writeFileSync(join(folder, "aa.data"), "bytes");
    expect(await uploads.load()).toEqual([]);
    expect(lines).toHaveLength(1);
    expect(readdirSync(folder)).toEqual([]);
  });
});
