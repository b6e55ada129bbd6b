import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { callLocalApi, type ImportedPair, importIntoStore, type VersionStatus } from "@ckmesh/client";
import { AppError, Fields, formatBytes, isAppError } from "@ckmesh/core";
import { createLogger, systemClock } from "@ckmesh/runtime";
import { exitCodeOf } from "../exit-codes.js";
import type { Action } from "../leaf.js";
import type { Output } from "../output.js";
import { parseClientStatus, parseStatusError } from "../parse-client-status.js";
import { workProgress } from "../work-progress.js";

/** How often a running client is asked how far it is, ms. */
const LOOK_MS = 500;
const MAX_PAIRS = 100_000;
const MAX_TEXT = 10_000;

/** `client import DIR`: by the running client of the store, or into the folder of a stopped one. */
export const clientImport: Action = async ({ output, signal }, options) => {
  const store = options.requiredText("store");
  const folder = resolve(options.arg(0));
  const found = await stat(folder).catch(() => undefined); // the next line says so
  if (found?.isDirectory() !== true) throw new AppError("ERR_FILE_NOT_FOUND", `${folder} is no folder`);
  const isRunning = await hasClient(store);
  const pairs = isRunning
    ? await byClient(output, store, folder, signal)
    : await importIntoStore(store, folder, {
        clock: systemClock,
        logger: createLogger({ level: "warn", destination: process.stderr }),
        signal,
        onProgress: workProgress(output),
      });
  if (pairs.length === 0) {
    throw new AppError(
      "ERR_FILE_NOT_FOUND",
      `${folder} has no pair of NAME_n.ckm and NAME_n.ckm.index, as "ckmesh client export" makes them`,
    );
  }
  output.summary(pairs.map(pairText), { folder, running: isRunning, pairs });
  const refused = pairs.find(({ error }) => error !== undefined);
  return refused?.error === undefined ? undefined : exitCodeOf(refused.error.code);
};

async function hasClient(store: string): Promise<boolean> {
  try {
    await callLocalApi(store, { command: "status" });
    return true;
  } catch (err) {
    if (isAppError(err, "ERR_FILE_NOT_FOUND")) return false;
    throw err;
  }
}

/** Follows the client until it has taken what is right in the pairs. */
async function byClient(
  output: Output,
  store: string,
  folder: string,
  signal: AbortSignal,
): Promise<readonly ImportedPair[]> {
  const begun = parseImported(await callLocalApi(store, { command: "import", folder }));
  for (;;) {
    const { images } = parseClientStatus(await callLocalApi(store, { command: "status" }));
    const now = begun.map((pair) => {
      const versions = images.find(({ name }) => name === pair.image)?.versions;
      return { pair, status: versions?.find(({ version }) => version === pair.version) };
    });
    const copied = now.flatMap(({ pair, status }) =>
      pair.result === "begun" && status !== undefined ? [status] : [],
    );
    output.progress({
      phase: "copying",
      bytesDone: copied.reduce((sum, status) => sum + heldBytes(status), 0),
      bytesTotal: copied.reduce((sum, { needed }) => sum + needed, 0),
    });
    if (!copied.some(isUnderWay)) return now.map(({ pair, status }) => outcome(pair, status));
    await pause(LOOK_MS, undefined, { signal });
  }
}

function heldBytes({ bytes }: VersionStatus): number {
  return bytes.previous + bytes.delta + bytes.host + bytes.peers + bytes.origin;
}

/** Rows are being copied, or the whole is being proven. */
function isUnderWay(status: VersionStatus): boolean {
  if (status.importing !== undefined) return true;
  return status.state === "fetching" && status.haveRows === status.rows && status.error === undefined;
}

function outcome(pair: ImportedPair, status: VersionStatus | undefined): ImportedPair {
  if (pair.result !== "begun" || status === undefined) return pair;
  const missingBytes = status.needed - heldBytes(status);
  if (missingBytes === 0) return { ...pair, result: "complete" };
  const { error } = status;
  // What else may be wrong is a matter of fetching the rest.
  const isFull = error?.code === "ERR_STORE_FULL";
  return { ...pair, result: "incomplete", missingBytes, ...(isFull && { error }) };
}

/** The answer of a client, which may be another version of this program. */
function parseImported(value: unknown): readonly ImportedPair[] {
  const answer = new Fields({ pairs: value }, "answer", "ERR_INTERNAL");
  return answer.list("pairs", MAX_PAIRS).map(parsePair);
}

function parsePair(value: unknown): ImportedPair {
  const f = new Fields(value, "pair", "ERR_INTERNAL");
  return {
    image: f.string("image", MAX_TEXT),
    version: f.int("version", 1, Number.MAX_SAFE_INTEGER),
    result: f.oneOf("result", ["begun", "here", "refused"]),
    ...(f.has("passedOver") && { passedOver: parseNames(f.list("passedOver", MAX_PAIRS)) }),
    ...(f.has("error") && { error: parseStatusError(f.map("error")) }),
  };
}

function parseNames(names: readonly unknown[]): readonly string[] {
  return names.map((name) => new Fields({ name }, "file", "ERR_INTERNAL").string("name", MAX_TEXT));
}

function pairText({ image, version, result, missingBytes, passedOver, error }: ImportedPair): string {
  const why = error === undefined ? "" : `: ${error.message} (${error.code})`;
  const others = passedOver === undefined ? "" : `; passed over, as no use: ${passedOver.join(", ")}`;
  return `${image} version ${version}: ${resultText(result, missingBytes)}${why}${others}`;
}

function resultText(result: ImportedPair["result"], missingBytes = 0): string {
  switch (result) {
    case "begun":
      return "being copied by the client";
    case "complete":
      return "copied, every byte proven";
    case "incomplete":
      return `${formatBytes(missingBytes)} are damaged or missing in the folder; the client fetches them`;
    case "here":
      return "here already";
    case "refused":
      return "refused";
  }
}
