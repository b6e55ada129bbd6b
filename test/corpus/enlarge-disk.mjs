/**
 * Makes a large disk of small ones, for figures that a short run would not show: four copies of each disk, in each of
 * which every byte value but 0 stands for another one. What is alike in two versions of a disk is alike in what is
 * made of them; between the copies nothing is.
 *
 *   node test/corpus/enlarge-disk.mjs OUT DISK…
 */
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";

const STEP_BYTES = 1 << 20;
/** Factors without a divisor in common with 255: each is a permutation of the values from 1 to 255. */
const FACTORS = [1, 2, 4, 7];

const [out, ...disks] = process.argv.slice(2);
if (out === undefined || disks.length === 0) throw new Error("give OUT and at least one disk");
const to = openSync(out, "wx");
let end = 0;
for (const factor of FACTORS) {
  const values = Uint8Array.from({ length: 256 }, (_, byte) =>
    byte === 0 ? 0 : (((byte - 1) * factor) % 255) + 1,
  );
  for (const disk of disks) {
    const from = openSync(disk, "r");
    const bytes = Buffer.alloc(STEP_BYTES);
    for (let length = readSync(from, bytes); length > 0; length = readSync(from, bytes)) {
      const part = bytes.subarray(0, length);
      // Zeros stay holes.
      if (part.some((byte) => byte !== 0))
        writeSync(
          to,
          part.map((byte) => values[byte] ?? 0),
          0,
          length,
          end,
        );
      end += length;
    }
    closeSync(from);
  }
}
ftruncateSync(to, end);
closeSync(to);
