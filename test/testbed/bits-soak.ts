import { randomFillSync } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { KIB, MIB, type Random, seededRandom } from "@ckmesh/core";
import { packImage } from "@ckmesh/store";
import { stagedFiles, startBitsOrigin, untilPublished } from "./bits-origin.js";
import { BitsPython } from "./bits-python.js";
import { ALICE } from "./local-accounts.js";
import type { OriginUnderTest } from "./origin-under-test.js";

const IMAGE = "Soak";
const DISK_BYTES = 6 * MIB;
const FRAGMENT_BYTES = 256 * KIB;
/** Random content does not shrink: so many fragments, and Ping, Create-Session and the end, are certain to come. */
const PACK_FACTS = DISK_BYTES / FRAGMENT_BYTES + 3;
/** Longer than what follows an acknowledgement takes here: the kill falls on any part of it. */
const MAX_DELAY_MS = 60;
const PATIENCE_SECONDS = 60;

type Victim = "client" | "origin";

/** One upload in which one program was killed once. */
export interface SoakRound {
  readonly round: number;
  readonly victim: Victim;
  /** Facts that the client had reported before; that many packets and a little more were done. */
  readonly afterFacts: number;
  readonly delayMs: number;
  readonly file: "index" | "pack";
}

interface SoakOptions {
  readonly folder: string;
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
  const done: SoakRound[] = [];
  let origin = await startBitsOrigin({ folder }, signal);
  try {
    for (let round = 1; round <= options.rounds; round += 1) {
      const plan = planRound(round, random);
      /* oxlint-disable no-await-in-loop -- one round after the other */
      origin = await runRound(folder, origin, plan, signal);
      await expectPublished(folder, origin, round, signal);
      /* oxlint-enable no-await-in-loop */
      done.push(plan);
      options.onRound?.(plan);
    }
  } finally {
    await origin.stop();
  }
  const left = stagedFiles(folder).filter((name) => /\.ckm|[0-9a-f]{8}-[0-9a-f]{4}/i.test(name));
  if (left.length > 0) throw new Error(`left in staging: ${left.join(", ")}`);
  return done;
}

function planRound(round: number, random: Random): SoakRound {
  const victim = random.next() < 0.5 ? "client" : "origin";
  const file = random.next() < 0.2 ? "index" : "pack";
  // An index has few fragments; a client that reported its end is no victim any more.
  const facts = file === "index" ? 3 : victim === "client" ? PACK_FACTS - 1 : PACK_FACTS;
  return {
    round,
    victim,
    file,
    afterFacts: 1 + Math.floor(random.next() * facts),
    delayMs: Math.floor(random.next() ** 2 * MAX_DELAY_MS),
  };
}

/** @returns the origin that runs at the end */
async function runRound(
  folder: string,
  origin: OriginUnderTest,
  plan: SoakRound,
  signal: AbortSignal,
): Promise<OriginUnderTest> {
  const outDir = join(folder, `round-${plan.round}`);
  mkdirSync(outDir);
  const diskPath = join(outDir, "disk.img");
  writeFileSync(diskPath, randomFillSync(new Uint8Array(DISK_BYTES)));
  await packImage({ diskPath, name: IMAGE, outDir, level: 1, version: plan.round });
  rmSync(diskPath);
  let current = origin;
  for (const file of ["index", "pack"] as const) {
    const name = fileName(plan.round, file);
    const start = (): BitsPython =>
      new BitsPython({
        url: `${origin.httpUrl}/MEDVImages/${name}`,
        file: join(outDir, name),
        user: ALICE,
        fragmentBytes: FRAGMENT_BYTES,
        stateFile: join(outDir, `${name}.state`),
        patienceSeconds: PATIENCE_SECONDS,
      });
    /* oxlint-disable no-await-in-loop -- index, then pack */
    if (plan.file === file) current = await withKill(folder, current, plan, start, signal);
    else await start().done();
    /* oxlint-enable no-await-in-loop */
  }
  return current;
}

async function withKill(
  folder: string,
  origin: OriginUnderTest,
  plan: SoakRound,
  start: () => BitsPython,
  signal: AbortSignal,
): Promise<OriginUnderTest> {
  const upload = start();
  await reached(upload, plan.afterFacts);
  await delay(plan.delayMs, undefined, { signal });
  if (plan.victim === "client") {
    upload.kill();
    const last = await upload.end();
    if (last.done !== true) await start().done();
    return origin;
  }
  const port = Number(new URL(origin.httpUrl).port);
  await origin.kill();
  const next = await startBitsOrigin({ folder, port }, signal);
  await upload.done();
  return next;
}

/** Resolves when the upload has reported so many facts, or has ended. */
function reached(upload: BitsPython, facts: number): Promise<void> {
  return new Promise((resolve, reject) => {
    upload.onFact(() => {
      if (upload.facts.length >= facts) resolve();
    });
    upload.end().then(() => resolve(), reject);
  });
}

async function expectPublished(
  folder: string,
  origin: OriginUnderTest,
  round: number,
  signal: AbortSignal,
): Promise<void> {
  await untilPublished(origin, IMAGE, round, signal);
  for (const file of ["index", "pack"] as const) {
    const name = fileName(round, file);
    const sent = readFileSync(join(folder, `round-${round}`, name));
    if (!readFileSync(join(folder, "images", name)).equals(sent))
      throw new Error(`${name} differs from what was sent`);
  }
  rmSync(join(folder, `round-${round}`), { recursive: true });
}

const fileName = (round: number, file: "index" | "pack"): string =>
  `${IMAGE}_${round}.ckm${file === "index" ? ".index" : ""}`;
