import { readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "@ckmesh/core";
import { decodeHead } from "@ckmesh/image";
import { describe, expect, it } from "vitest";
import { makePair } from "../make-pair.js";
import { eventually, startTestOrigin, type TestOrigin } from "../origin-fixture.js";

const random = seededRandom(5);
const FOREIGN_PACK = Buffer.from(Uint8Array.from({ length: 200_000 }, () => random.next() * 256));
const FOREIGN_INDEX = Buffer.from("an index of somebody else".repeat(100));

function drop(origin: TestOrigin, index: Buffer | undefined): void {
  writeFileSync(join(origin.root, "old_1.ckm"), FOREIGN_PACK);
  if (index !== undefined) writeFileSync(join(origin.root, "old_1.ckm.index"), index);
}

async function bodyOf(origin: TestOrigin, name: string): Promise<Buffer | number> {
  const { status, body } = await origin.get(`/MEDVImages/${name}`);
  return status === 200 ? body : status;
}

async function headOf(origin: TestOrigin, name: string) {
  const body = await bodyOf(origin, name);
  if (typeof body === "number") throw new Error(`${name}: ${body}`);
  return decodeHead(body);
}

describe("a foreign pack", () => {
  it("without an index is published with one of ours", async () => {
    const origin = await startTestOrigin();
    drop(origin, undefined);
    await origin.published("old", 1);
    expect(await bodyOf(origin, "old_1.ckm")).toEqual(FOREIGN_PACK);
    const { head } = await headOf(origin, "old.ckm.index");
    expect(head).toMatchObject({
      name: "old",
      version: 1,
      pack: { length: FOREIGN_PACK.length },
      counts: { frames: 4 },
    });
    expect(head.disk).toBeUndefined();
    expect(await bodyOf(origin, "old_1.ckm.frames.index")).toBe(404);
    expect((await origin.get("/ckmesh/catalogue")).body.toString()).toContain('"opaque":true');
  });

  it("with its own index keeps that untouched, and ours is beside it, at the alias too", async () => {
    const origin = await startTestOrigin();
    drop(origin, FOREIGN_INDEX);
    await origin.published("old", 1);
    expect(await bodyOf(origin, "old_1.ckm.index")).toEqual(FOREIGN_INDEX);
    expect(await bodyOf(origin, "old.ckm.index")).toEqual(FOREIGN_INDEX);
    const [version, alias] = [
      await headOf(origin, "old_1.ckm.frames.index"),
      await headOf(origin, "old.ckm.frames.index"),
    ];
    expect(alias.idHex).toBe(version.idHex);
    const tags = await Promise.all(
      ["old_1.ckm", "old_1.ckm.index", "old_1.ckm.frames.index"].map(
        async (name) => (await origin.get(`/MEDVImages/${name}`, {}, "HEAD")).headers.etag,
      ),
    );
    expect(new Set(tags).size).toBe(3);
  });

  it("keeps its version id over restarts, new dates, and the loss of our index", async () => {
    const first = await startTestOrigin();
    drop(first, FOREIGN_INDEX);
    await first.published("old", 1);
    const { idHex } = await headOf(first, "old_1.ckm.frames.index");
    await first.origin.close();
    utimesSync(join(first.root, "old_1.ckm"), 1000, 1000);
    rmSync(join(first.state, "opaque", "old_1.ckm.index"));
    const second = await startTestOrigin({ folder: first.folder });
    await second.published("old", 1);
    expect((await headOf(second, "old_1.ckm.frames.index")).idHex).toBe(idHex);
  });

  it("is refused where publishers are configured, since nobody can have signed it", async () => {
    const origin = await startTestOrigin({ flags: { publishers: ["ab".repeat(32)] } });
    drop(origin, FOREIGN_INDEX);
    await eventually(async () =>
      (await origin.get("/ckmesh/api/status")).body.toString().includes("ERR_SIGNATURE_INVALID"),
    );
    expect(await bodyOf(origin, "old_1.ckm")).toBe(404);
  });

  it("is not what one of our packs becomes while its index is missing", async () => {
    const origin = await startTestOrigin({ flags: { "publish.settleMs": 0 } });
    const ours = makePair({ name: "win7", version: 1 });
    writeFileSync(join(origin.root, ours.packName), ours.pack);
    drop(origin, undefined);
    await origin.published("old", 1);
    expect(await bodyOf(origin, ours.packName)).toBe(404);
    writeFileSync(join(origin.root, ours.indexName), ours.index);
    await origin.published("win7", 1);
    expect(readFileSync(join(origin.root, ours.packName)).equals(ours.pack)).toBe(true);
  });
});
