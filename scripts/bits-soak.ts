/**
 * Kills the uploading program or the origin at a random point of an upload, again and again, and holds what is
 * published against what was sent. Needs Python 3; runs what was built.
 *
 *   node --import tsx scripts/bits-soak.ts [--rounds 50] [--seed 1]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { soakUploads } from "../test/testbed/bits-soak.js";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "50" }, seed: { type: "string", default: "1" } },
});

const folder = mkdtempSync(join(tmpdir(), "cksoak-"));
const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => stop.abort(new Error("stopped")));
try {
  const rounds = await soakUploads({
    folder,
    rounds: Number(values.rounds),
    seed: Number(values.seed),
    signal: stop.signal,
    onRound({ round, victim, afterFacts, delayMs, file }) {
      process.stdout.write(
        `${round}: ${victim} killed ${delayMs} ms after fact ${afterFacts} of the ${file}; published and identical\n`,
      );
    },
  });
  const clients = rounds.filter(({ victim }) => victim === "client").length;
  process.stdout.write(
    `${clients} clients and ${rounds.length - clients} origins killed, all uploads byte-identical\n`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
