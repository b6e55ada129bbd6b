/**
 * Kills the uploading program or the origin at a random point of an upload, again and again, and holds what is
 * published against what was sent. Needs Python 3; runs what was built.
 *
 *   node --import tsx scripts/bits-soak.ts [--client python|ckmesh] [--rounds 50] [--seed 1]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { soakUploads } from "../test/testbed/bits-soak.js";

const { values } = parseArgs({
  options: {
    client: { type: "string", default: "python" },
    rounds: { type: "string", default: "50" },
    seed: { type: "string", default: "1" },
  },
});

const { client } = values;
if (client !== "python" && client !== "ckmesh") throw new Error(`${client} is neither python nor ckmesh`);
const folder = mkdtempSync(join(tmpdir(), "cksoak-"));
const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => stop.abort(new Error("stopped")));
try {
  const rounds = await soakUploads({
    folder,
    client,
    rounds: Number(values.rounds),
    seed: Number(values.seed),
    signal: stop.signal,
    onRound({ round, victim, step, point, delayMs }) {
      const when = `${delayMs} ms after ${Math.round(point * 100)} % of process ${step + 1}`;
      process.stdout.write(`${round}: ${victim} killed ${when}; published and identical\n`);
    },
  });
  const clients = rounds.filter(({ victim }) => victim === "client").length;
  process.stdout.write(
    `${clients} clients and ${rounds.length - clients} origins killed, all uploads byte-identical\n`,
  );
  rmSync(folder, { recursive: true, force: true });
} catch (err) {
  process.stderr.write(`the origin's log and what it holds are kept in ${folder}\n`);
  throw err;
}
