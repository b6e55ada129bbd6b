import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Fields, formatBytes, MIB } from "@ckmesh/core";
import { buildDisk } from "../demo/demo-disk.js";
import { howToGoOn, type Round, roundTable } from "../demo/demo-report.js";
import { chooseFiles } from "../demo/file-choice.js";
import { type ClientResult, LoopbackFleet } from "../demo/loopback-fleet.js";
import { assertSameFiles, deltaBytes } from "../demo/same-files.js";
import type { Action } from "../leaf.js";
import type { Output } from "../output.js";

const IMAGE = "Demo";
const SITES = ["north", "south"] as const;
const CLIENTS_PER_SITE = 2;
const MAX_MIB = 8192;

/** Shows the whole way of an image on this machine, with real processes, and leaves nothing behind. */
export const demo: Action = async ({ output, signal }, options) => {
  const mib = options.int("mib", 8, MAX_MIB) ?? 208;
  const asked = options.text("keep");
  const keep = asked === undefined ? undefined : resolve(asked);
  if (keep !== undefined) await mkdir(keep, { recursive: true });
  const folder = await mkdtemp(join(keep ?? tmpdir(), "ckmesh-demo-"));
  const fleet = new LoopbackFleet(folder, signal);
  try {
    const rounds = await runRounds(output, fleet, folder, mib * MIB, signal);
    output.summary(
      [...rounds.flatMap(roundTable), "", ...howToGoOn(keep === undefined ? undefined : folder)],
      {
        rounds,
        ...(keep === undefined ? {} : { folder }),
      },
    );
  } finally {
    await fleet.stop();
    if (keep === undefined) await rm(folder, { recursive: true, force: true });
  }
  return undefined;
};

async function runRounds(
  output: Output,
  fleet: LoopbackFleet,
  folder: string,
  diskBytes: number,
  signal: AbortSignal,
): Promise<readonly Round[]> {
  output.step("disk", `building a disk from ${formatBytes(diskBytes)} of this machine's files …`);
  const disk = await buildDisk(folder, await chooseFiles(diskBytes, signal), diskBytes, signal);
  output.step(
    "servers",
    `disk built (${disk.kind}); starting origin and tracker, TLS with a throw-away certificate`,
  );
  const url = await fleet.startServers();
  await pack(output, fleet, disk.path, []);
  await fleet.published(IMAGE, 1);
  output.step(
    "clients",
    `${url} serves version 1; starting ${SITES.length} sites of ${CLIENTS_PER_SITE} clients`,
  );
  const first = await timed(async () => {
    await fleet.startClients(SITES, CLIENTS_PER_SITE, []);
    return follow(output, fleet, 1);
  });
  output.step("update", "all clients have version 1; changing some files on the disk, and blocks in place");
  await disk.update();
  const packed = await pack(output, fleet, disk.path, ["--previous", fleet.root]);
  const second = await timed(async () => {
    await fleet.published(IMAGE, 2);
    return follow(output, fleet, 2);
  });
  await fleet.stop();
  const stores = fleet.clients.map(({ store }) => store);
  const sizes = await assertSameFiles(fleet.root, stores, IMAGE, [1, 2]);
  const delta = await deltaBytes(fleet.root, IMAGE, 2, 1);
  output.step("proof", `${stores.length} stores hold byte for byte what the origin serves`);
  return [
    { version: 1, ...first, ...sizes[0], newBytes: sizes[0].publishedBytes },
    {
      version: 2,
      ...second,
      ...sizes[1],
      newBytes: packed.newBytes,
      ...(delta !== undefined && { deltaBytes: delta }),
    },
  ];
}

/** Packs the disk straight into the origin's folder, as an administrator would. */
async function pack(
  output: Output,
  fleet: LoopbackFleet,
  disk: string,
  extra: readonly string[],
): Promise<{ readonly newBytes: number }> {
  const summary = await fleet.run(
    "pack",
    ["pack", disk, "--name", IMAGE, "--out", fleet.root, ...extra],
    (status) => forward(output, status),
  );
  const number = (key: string): number => summary.int(key, 0, Number.MAX_SAFE_INTEGER);
  output.endProgress();
  output.step(
    "packed",
    `version ${number("version")} packed: ${formatBytes(number("diskBytes"))} of disk in ` +
      `${formatBytes(number("packBytes"))}, ${formatBytes(number("newBytes"))} of them new`,
  );
  return { newBytes: number("newBytes") };
}

async function follow(
  output: Output,
  fleet: LoopbackFleet,
  version: number,
): Promise<readonly ClientResult[]> {
  const results = await fleet.complete(IMAGE, version, ({ bytesDone, bytesTotal, note }) => {
    if (bytesTotal > 0) output.progress({ phase: "fetching", bytesDone, bytesTotal, note });
  });
  output.endProgress();
  output.step("complete", `all clients have version ${version}`);
  return results;
}

function forward(output: Output, status: Fields): void {
  output.progress({
    phase: status.string("phase", 40),
    bytesDone: status.int("bytesDone", 0, Number.MAX_SAFE_INTEGER),
    bytesTotal: status.int("bytesTotal", 0, Number.MAX_SAFE_INTEGER),
  });
}

async function timed(
  run: () => Promise<readonly ClientResult[]>,
): Promise<{ readonly clients: readonly ClientResult[]; readonly ms: number }> {
  const start = performance.now();
  const clients = await run();
  return { clients, ms: Math.round(performance.now() - start) };
}
