/**
 * Uploads a sparse file, 20 GiB by default, and prints what memory the origin took. Needs Python 3 and as much free
 * space as the file is long; runs what was built.
 *
 *   node --import tsx scripts/bits-sparse.ts [--gib 20] [--folder FOLDER]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { GIB } from "@ckmesh/core";
import { uploadSparse } from "../test/testbed/bits-sparse.js";

const { values } = parseArgs({
  options: { gib: { type: "string", default: "20" }, folder: { type: "string", default: tmpdir() } },
});

const bytes = Number(values.gib) * GIB;
const folder = mkdtempSync(join(values.folder, "cksparse-"));
const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => stop.abort(new Error("stopped")));
try {
  const { seconds, closeSeconds, rssBeforeMib, rssPeakMib } = await uploadSparse(folder, bytes, stop.signal);
  const rate = Math.round(bytes / 1e6 / seconds);
  process.stdout.write(
    `${values.gib} GiB in ${seconds.toFixed(1)} s = ${rate} MB/s, Close-Session ${closeSeconds.toFixed(1)} s, ` +
      `origin's memory ${Math.round(rssBeforeMib)} MiB before, ${Math.round(rssPeakMib)} MiB at most\n`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
