import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BodyWriter, type GrowingFile, growingFile } from "../../src/bits/body-writer.js";
import { temporaryFolder } from "../origin-fixture.js";

/** A file in memory on a disk of `room` bytes that writes at most `most` bytes at a time. */
function memoryFile(room: number, most = Number.POSITIVE_INFINITY): GrowingFile & { readonly bytes: Buffer } {
  let held = Buffer.alloc(0);
  return {
    get bytes() {
      return held;
    },
    write: async (bytes, position) => {
      const written = Math.min(bytes.length, most, room - position);
      if (written <= 0) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
      held = Buffer.concat([held.subarray(0, position), bytes.subarray(0, written)]);
      return written;
    },
    truncate: async (length) => {
      held = held.subarray(0, length);
    },
  };
}

describe("writing a body", () => {
  it("puts every byte into the file, whatever the chunks and however little is written at a time", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 400_000 }), { maxLength: 6 }),
        fc.integer({ min: 50_000, max: 300_000 }),
        async (lengths, most) => {
          const file = memoryFile(Number.POSITIVE_INFINITY, most);
          let told = 0;
          const writer = new BodyWriter({
            file,
            offset: 0,
            wrote: (bytes, offset) => {
              expect(offset).toBe(told);
              told += bytes.length;
            },
          });
          const chunks = lengths.map((length, i) => Buffer.alloc(length, i + 1));
          for (const chunk of chunks) await writer.add(chunk);
          await writer.finish();
          expect(file.bytes.equals(Buffer.concat(chunks))).toBe(true);
          expect([told, writer.end]).toEqual([file.bytes.length, file.bytes.length]);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("ends the file where it said that it ends when the disk is full", async () => {
    const file = memoryFile(300_000, 70_000);
    const told: number[] = [];
    const writer = new BodyWriter({ file, offset: 0, wrote: (bytes) => void told.push(bytes.length) });
    const fill = async (): Promise<void> => {
      for (let i = 0; i < 10; i += 1) await writer.add(Buffer.alloc(100_000, i));
    };
    await expect(fill()).rejects.toMatchObject({ code: "ENOSPC" });
    await expect(writer.finish()).rejects.toMatchObject({ code: "ENOSPC" });
    expect([file.bytes.length, writer.end, ...told]).toEqual([262_144, 262_144, 262_144]);
  });

  it("writes behind what is there", async () => {
    const path = join(temporaryFolder(), "data");
    const file = await open(path, "w+");
    await file.writeFile("0123");
    const writer = new BodyWriter({ file: growingFile(file), offset: 4, wrote: () => {} });
    await writer.add(Buffer.from("45"));
    await writer.add(Buffer.from("67"));
    await writer.finish();
    await file.close();
    expect(readFileSync(path, "utf8")).toBe("01234567");
  });
});
