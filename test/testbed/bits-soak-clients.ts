import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CkmeshProcess } from "@ckmesh/cli";
import { KIB, MIB } from "@ckmesh/core";
import { BitsPython } from "./bits-python.js";
import { ALICE } from "./local-accounts.js";

/** One process of a client, which may be killed. */
export interface SoakUpload {
  /** Resolves when it is so far (0 to 1), or has ended. */
  reached(point: number): Promise<void>;
  /** Ends it at once. @returns whether it had done all it had to */
  kill(): Promise<boolean>;
  /** Waits for its end; rejects unless all is uploaded. */
  done(): Promise<void>;
}

interface SoakFiles {
  /** For what clients keep. */
  readonly folder: string;
  /** Where the pair lies. */
  readonly outDir: string;
  readonly packName: string;
  /** Of the virtual directory. */
  readonly url: string;
}

interface SoakClient {
  /** The processes of one upload, to be started in this order. */
  steps(files: SoakFiles, signal: AbortSignal): readonly (() => SoakUpload)[];
  /** Which process is to be the victim's, as sums of probabilities. */
  readonly weights: readonly number[];
}

/** Of random content: a pack is a little longer. */
export const SOAK_DISK_BYTES = 6 * MIB;
const FRAGMENT_BYTES = 256 * KIB;
/** Ping, Create-Session, each fragment and the end: so many are certain to come of a pack. */
const PACK_FACTS = SOAK_DISK_BYTES / FRAGMENT_BYTES + 3;
/** An index is one fragment. */
const INDEX_FACTS = 4;
const PATIENCE_SECONDS = 60;
/** What `ckmesh upload` takes about at its limit, from its first packet to publication. */
const CKMESH_MS = 1800;
const CKMESH_LIMIT = "40M";

export type SoakClientName = "python" | "ckmesh";

export const SOAK_CLIENTS: Readonly<Record<SoakClientName, SoakClient>> = {
  python: {
    weights: [0.2, 1],
    steps: ({ outDir, packName, url }) =>
      [`${packName}.index`, packName].map((name, n) => () => {
        const upload = new BitsPython({
          url: `${url}/${name}`,
          file: join(outDir, name),
          user: ALICE,
          fragmentBytes: FRAGMENT_BYTES,
          stateFile: join(outDir, `${name}.state`),
          patienceSeconds: PATIENCE_SECONDS,
        });
        return pythonUpload(upload, n === 0 ? INDEX_FACTS : PACK_FACTS);
      }),
  },
  ckmesh: {
    weights: [1],
    steps: ({ folder, outDir, packName, url }, signal) => {
      const passwordFile = join(folder, "password");
      writeFileSync(passwordFile, ALICE.password, { mode: 0o600 });
      const logon = ["--ntlm", "--user", ALICE.account, "--password-file", passwordFile];
      const index = join(outDir, `${packName}.index`);
      return [
        () =>
          ckmeshUpload(
            new CkmeshProcess("upload", ["upload", index, "--to", url, "--limit", CKMESH_LIMIT, ...logon]),
            signal,
          ),
      ];
    },
  },
};

function pythonUpload(upload: BitsPython, facts: number): SoakUpload {
  return {
    reached: (point) =>
      new Promise((resolve, reject) => {
        const wanted = 1 + Math.floor(point * facts);
        upload.onFact(() => {
          if (upload.facts.length >= wanted) resolve();
        });
        upload.end().then(() => resolve(), reject);
      }),
    async kill() {
      upload.kill();
      return (await upload.end()).done === true;
    },
    async done() {
      await upload.done();
    },
  };
}

function ckmeshUpload(upload: CkmeshProcess, signal: AbortSignal): SoakUpload {
  const summary = (): boolean => upload.findLast((line) => line["type"] === "summary") !== undefined;
  return {
    async reached(point) {
      // An origin that is not there at the start ends the command, so that a wrong URL is told at once.
      await upload.waitFor((line) => line["type"] === "status", signal);
      await delay(point * CKMESH_MS, undefined, { signal });
    },
    async kill() {
      await upload.kill();
      return summary();
    },
    async done() {
      await upload.done(signal);
    },
  };
}
