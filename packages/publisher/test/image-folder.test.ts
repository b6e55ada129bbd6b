import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { emptyControl, encodeControl, MAX_CONTROL_BYTES } from "@ckmesh/image";
import { systemClock } from "@ckmesh/runtime";
import { describe, expect, it, onTestFinished } from "vitest";
import { ImageFolder } from "../src/image-folder.js";
import { sendOrder } from "../src/send-order.js";

function makeFolder(...files: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), "ckmesh-folder-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const file of files) writeFileSync(join(folder, file), "");
  return folder;
}

describe("ImageFolder", () => {
  it("knows versions by their indexes, whole names only", async () => {
    const folder = new ImageFolder(
      makeFolder(
        "A_2.ckm.index",
        "A_10.ckm.index",
        "A_11.ckm",
        "AB_3.ckm.index",
        "A_12.from_10.ckm.index",
        "A.ckm.index",
      ),
    );
    expect(await folder.image("A")).toEqual({
      name: "A",
      next: 11,
      versions: [{ version: 2 }, { version: 10 }],
    });
    await expect(folder.image("a")).rejects.toMatchObject({ code: "ERR_IMAGE_NOT_FOUND" });
  });

  it("keeps orders in a file that any server can read", async () => {
    const path = makeFolder();
    const place = new ImageFolder(path);
    const common = { place, image: "A", signers: [], publishers: [], clock: systemClock };
    await sendOrder({ ...common, order: { type: "withdraw", version: 2 } });
    await sendOrder({ ...common, order: { type: "hold", version: 3 } });
    expect((await place.control("A"))?.record).toMatchObject({
      withdrawn: [{ version: 2 }],
      rollouts: [{ version: 3, isHeld: true }],
    });
    expect(readdirSync(path)).toEqual(["A.control.index"]);
    expect(statSync(join(path, "A.control.index")).mode & 0o444).toBe(0o444);
  });

  it("does not put a record in the place of one that it was not made from", async () => {
    const place = new ImageFolder(makeFolder());
    const bytes = encodeControl({ ...emptyControl("A"), serial: 7 }, []);
    await place.putControl("A", bytes, 0);
    await expect(place.putControl("A", bytes, 0)).rejects.toMatchObject({ code: "ERR_CONTROL_OUTDATED" });
  });

  it("takes no file that is too long or something else for a record", async () => {
    const path = makeFolder();
    writeFileSync(join(path, "A.control.index"), Buffer.alloc(MAX_CONTROL_BYTES + 1));
    writeFileSync(join(path, "B.control.index"), "<html>");
    const place = new ImageFolder(path);
    await expect(place.control("A")).rejects.toMatchObject({ code: "ERR_CONTROL_INVALID" });
    await expect(place.control("B")).rejects.toMatchObject({ code: "ERR_CONTROL_INVALID" });
  });
});
