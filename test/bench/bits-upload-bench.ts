/* oxlint-disable eslint/no-console -- a bench speaks */
import { fork, spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { MIB } from "@ckmesh/core";
import { packImage } from "@ckmesh/store";
import { curlUpload } from "../testbed/bits-curl.js";
import { startBitsOrigin } from "../testbed/bits-origin.js";
import { ALICE } from "../testbed/local-accounts.js";
import { mustRun } from "../testbed/run-program.js";

/**
 * Rate of a BITS upload to the origin, Close-Session included, beside curl's PUT of the same file through a plain Node
 * server to the same disk, in turns; both by curl, over loopback:
 * `npx tsx --conditions=ckmesh-src test/bench/bits-upload-bench.ts [--mib 256] [--rounds 5] [--fragment-mib 13] [--folder FOLDER]`,
 * after a build. A PUT is answered when the system has the bytes, a Close-Session when the disk has them: so there is a
 * PUT with fsync beside it. Once the pack comes with its index known, so that each frame is checked as it arrives; once alone.
 */
const { values: args } = parseArgs({
  options: {
    mib: { type: "string", default: "256" },
    rounds: { type: "string", default: "5" },
    // What Windows sends at most.
    "fragment-mib": { type: "string", default: "13" },
    folder: { type: "string", default: tmpdir() },
  },
});
const NAME = "Bench";
const LOGON = [`user = "alice:${ALICE.password}"`];

if (spawnSync("sh", ["-c", "command -v curl"]).status === 0) await main();
else console.log("skipped: curl is not installed");

async function main(): Promise<void> {
  const folder = mkdtempSync(join(args.folder, "ckmesh-bench-"));
  // The product's own pauses between looks at the folder: the tests' are shorter and cost.
  const settings = { publish: { scanMs: 1000, settleMs: 3000 } };
  const origin = await startBitsOrigin({ folder, settings }, AbortSignal.timeout(60_000));
  const putFolder = join(folder, "put");
  mkdirSync(putFolder);
  const plain = await startPutServer(putFolder);
  try {
    const rates: Record<"put" | "synced" | "pack" | "alone", number[]> = {
      put: [],
      synced: [],
      pack: [],
      alone: [],
    };
    for (let round = 1; round <= Number(args.rounds); round += 1) {
      /* oxlint-disable no-await-in-loop -- one at a time */
      const { pack, index } = await makePair(folder, round);
      const size = readFileSync(pack).length;
      rates.put.push(size / 1e6 / (await putSeconds(`${plain.url}/`, pack)));
      rates.synced.push(size / 1e6 / (await putSeconds(`${plain.url}/synced`, pack)));
      const base = `${origin.httpUrl}/MEDVImages`;
      rates.alone.push(size / 1e6 / (await bitsSeconds(`${base}/Alone_${round}.ckm`, pack)));
      await bitsSeconds(`${base}/${NAME}_${round}.ckm.index`, index);
      rates.pack.push(size / 1e6 / (await bitsSeconds(`${base}/${NAME}_${round}.ckm`, pack)));
      await forget(origin.httpUrl, round);
      rmSync(dirname(pack), { recursive: true });
      /* oxlint-enable no-await-in-loop */
      const [put, synced, alone, known] = [rates.put, rates.synced, rates.alone, rates.pack].map((all) =>
        Math.round(all.at(-1) ?? 0),
      );
      console.log(
        `round ${round}: PUT ${put} MB/s, with fsync ${synced}, BITS ${alone}, with its index known ${known}`,
      );
    }
    for (const [what, all] of [
      ["BITS, pack alone", rates.alone],
      ["BITS, index known", rates.pack],
    ] as const)
      console.log(
        `${what}: ${Math.round(median(all))} MB/s, in its round ${ratio(all, rates.put)} x PUT, ` +
          `${ratio(all, rates.synced)} x PUT with fsync (medians)`,
      );
  } finally {
    plain.stop();
    await origin.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function makePair(folder: string, version: number): Promise<{ pack: string; index: string }> {
  const diskPath = join(folder, "disk.raw");
  const disk = openSync(diskPath, "w");
  const chunk = Buffer.alloc(MIB);
  for (let n = 0; n < Number(args.mib); n += 1) writeSync(disk, randomFillSync(chunk));
  const outDir = join(folder, `pair-${version}`);
  mkdirSync(outDir);
  await packImage({ diskPath, name: NAME, outDir, level: 1, version });
  rmSync(diskPath);
  const pack = join(outDir, `${NAME}_${version}.ckm`);
  return { pack, index: `${pack}.index` };
}

async function putSeconds(url: string, file: string): Promise<number> {
  settleDisk();
  const start = performance.now();
  const status = await mustRun(
    "curl",
    ["--silent", "--noproxy", "*", "--upload-file", file, "--write-out", "%{http_code}", url],
    { timeoutMs: 120_000 },
  );
  if (status !== "201") throw new Error(`PUT was answered ${status}`);
  return (performance.now() - start) / 1000;
}

async function bitsSeconds(url: string, file: string): Promise<number> {
  const fragmentBytes = Number(args["fragment-mib"]) * MIB;
  const { statuses, seconds } = await curlUpload({
    url,
    bytes: readFileSync(file),
    fragmentBytes,
    logon: LOGON,
    isStreamed: true,
    ready: settleDisk,
  });
  if (statuses.some((status) => status !== 200)) throw new Error(`${url} was answered ${statuses.join()}`);
  return seconds;
}

/**
 * Deletes what a round has uploaded, as the next PUT replaces what the one before has written: in a virtual machine the
 * first use of a piece of memory costs ten times as much as writing to it, and files that stay would always use new ones.
 */
async function forget(url: string, version: number): Promise<void> {
  const { uploads } = Object(await api("GET", `${url}/ckmesh/api/uploads`));
  for (const { id, state } of uploads)
    if (state === "waiting") await api("DELETE", `${url}/ckmesh/api/uploads/${id}`); // oxlint-disable-line no-await-in-loop
  await api("DELETE", `${url}/ckmesh/api/images/${NAME}/versions/${version}?force=true`);
}

async function api(method: string, url: string): Promise<unknown> {
  const logon = Buffer.from(`alice:${ALICE.password}`).toString("base64");
  const response = await fetch(url, {
    method,
    headers: { Authorization: `Basic ${logon}`, "X-Ckmesh": "1" },
  });
  if (!response.ok) throw new Error(`${method} ${url} was answered ${response.status}`);
  return response.json();
}

/** An fsync waits for what others wrote before, too: none of that is left then. */
function settleDisk(): void {
  if (spawnSync("sync").status !== 0) throw new Error("the disk cannot be settled: sync failed");
}

async function startPutServer(folder: string): Promise<{ url: string; stop: () => void }> {
  const script = fileURLToPath(new URL("bits-put-server.ts", import.meta.url));
  const child = fork(script, [folder], { execArgv: ["--import", "tsx"] });
  const [message]: unknown[] = await once(child, "message");
  const { port } = Object.fromEntries(Object.entries(Object(message)));
  return { url: `http://127.0.0.1:${Number(port)}`, stop: () => child.disconnect() };
}

/** The machine's other work and its disk change from round to round: compared is what ran together. */
function ratio(rates: readonly number[], baseline: readonly number[]): string {
  return median(rates.map((rate, n) => rate / (baseline[n] ?? rate))).toFixed(2);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
