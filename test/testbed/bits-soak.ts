import { randomFillSync } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Random, seededRandom } from "@ckmesh/core";
import { packImage } from "@ckmesh/store";
import { stagedData, startBitsOrigin, untilPublished } from "./bits-origin.js";
import { SOAK_CLIENTS, SOAK_DISK_BYTES, type SoakClientName, type SoakUpload } from "./bits-soak-clients.js";
import type { OriginUnderTest } from "./origin-under-test.js";

const IMAGE = "Soak";
/** Longer than what follows an acknowledgement takes here: the kill falls on any part of it. */
const MAX_DELAY_MS = 60;

type Victim = "client" | "origin";

/** One upload in which one program was killed once. */
interface SoakRound {
  readonly round: number;
  readonly victim: Victim;
  /** Which of the client's processes was under way. */
  readonly step: number;
  /** How far it was, 0 to 1, and how long after that the kill came. */
  readonly point: number;
  readonly delayMs: number;
}

interface SoakOptions {
  readonly folder: string;
  readonly client: SoakClientName;
  readonly rounds: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly onRound?: (round: SoakRound) => void;
}

/**
 * Uploads a pair again and again, and in each round ends the uploading program or the origin with SIGKILL at a random
 * point, in the middle of a fragment, of Close-Session or of publication. Then the program goes on.
 * @throws when a pair is not published byte for byte, or something is left in staging
 */
export async function soakUploads(options: SoakOptions): Promise<readonly SoakRound[]> {
  const { folder, signal } = options;
  const random = seededRandom(options.seed);
  const rounds: SoakRound[] = [];
  let origin = await startBitsOrigin({ folder }, signal);
  try {
    for (let round = 1; round <= options.rounds; round += 1) {
      const plan = planRound(round, options.client, random);
      /* oxlint-disable no-await-in-loop -- one round after the other */
      origin = await runRound(options, origin, plan);
      await expectPublished(folder, origin, round, signal);
      /* oxlint-enable no-await-in-loop */
      rounds.push(plan);
      options.onRound?.(plan);
    }
  } finally {
    await origin.stop();
  }
  // An empty session may be there: its client was killed before it knew of it.
  const left = stagedData(folder);
  if (left.length > 0) throw new Error(`left in staging: ${left.join(", ")}`);
  return rounds;
}

function planRound(round: number, client: SoakClientName, random: Random): SoakRound {
  const { weights } = SOAK_CLIENTS[client];
  const drawn = random.next();
  return {
    round,
    victim: random.next() < 0.5 ? "client" : "origin",
    step: weights.findIndex((upTo) => drawn < upTo),
    point: random.next(),
    delayMs: Math.floor(random.next() ** 2 * MAX_DELAY_MS),
  };
}

/** @returns the origin that runs at the end */
async function runRound(
  { folder, client, signal }: SoakOptions,
  origin: OriginUnderTest,
  plan: SoakRound,
): Promise<OriginUnderTest> {
  const outDir = join(folder, `round-${plan.round}`);
  mkdirSync(outDir);
  const diskPath = join(outDir, "disk.img");
  writeFileSync(diskPath, randomFillSync(new Uint8Array(SOAK_DISK_BYTES)));
  await packImage({ diskPath, name: IMAGE, outDir, level: 1, version: plan.round });
  rmSync(diskPath);
  const files = { folder, outDir, packName: packName(plan.round), url: `${origin.httpUrl}/MEDVImages` };
  let current = origin;
  for (const [n, start] of SOAK_CLIENTS[client].steps(files, signal).entries()) {
    /* oxlint-disable no-await-in-loop -- one process after the other */
    if (n === plan.step) current = await withKill(folder, current, plan, start, signal);
    else await start().done();
    /* oxlint-enable no-await-in-loop */
  }
  return current;
}

async function withKill(
  folder: string,
  origin: OriginUnderTest,
  plan: SoakRound,
  start: () => SoakUpload,
  signal: AbortSignal,
): Promise<OriginUnderTest> {
  const upload = start();
  await upload.reached(plan.point);
  await delay(plan.delayMs, undefined, { signal });
  if (plan.victim === "client") {
    if (!(await upload.kill())) await start().done();
    return origin;
  }
  const port = Number(new URL(origin.httpUrl).port);
  await origin.kill();
  const next = await startBitsOrigin({ folder, port }, signal);
  await upload.done();
  return next;
}

async function expectPublished(
  folder: string,
  origin: OriginUnderTest,
  round: number,
  signal: AbortSignal,
): Promise<void> {
  await untilPublished(origin, IMAGE, round, signal);
  for (const name of [packName(round), `${packName(round)}.index`]) {
    const sent = readFileSync(join(folder, `round-${round}`, name));
    if (!readFileSync(join(folder, "images", name)).equals(sent))
      throw new Error(`${name} differs from what was sent`);
  }
  rmSync(join(folder, `round-${round}`), { recursive: true });
}

const packName = (round: number): string => `${IMAGE}_${round}.ckm`;
