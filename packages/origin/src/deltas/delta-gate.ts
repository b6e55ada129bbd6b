import { type Clock, isAppError, type Logger } from "@ckmesh/core";
import { deltaIndexFileName, deltaPackFileName } from "@ckmesh/image";
import type { Catalogue, PublishedDelta } from "../catalogue/catalogue.js";
import { servedFile } from "../catalogue/version-of.js";
import { type FolderDelta, type FolderScan, pairFingerprint } from "../publish/folder-scan.js";
import { Refusals } from "../publish/refusals.js";
import { type DeltaEnds, type DeltaFacts, readDeltaFacts } from "./delta-facts.js";
import type { DeltaRecords } from "./delta-records.js";

export interface DeltaGateOptions {
  readonly root: string;
  /** A pair counts as complete when size, time and inode have stood still for this long. */
  readonly settleMs: number;
  readonly publishers: () => readonly Uint8Array[];
  readonly catalogue: Catalogue;
  readonly records: DeltaRecords;
  /** Applies a delta to its base; returns its id. */
  readonly verify: (indexPath: string, signal: AbortSignal) => Promise<string>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** After the catalogue changed. */
  readonly onServed: (delta: PublishedDelta, news: { readonly isNew: boolean }) => void;
  readonly onRefused: (delta: FolderDelta) => void;
  /** Its files changed or went, or one of its versions did. */
  readonly onGone: (delta: PublishedDelta) => void;
}

/** What is known of one delta: seen → settled → checked → served or refused; any change starts anew. */
interface Candidate {
  readonly delta: FolderDelta;
  readonly fingerprint: string;
  /** Monotonic ms of the last change that was seen. */
  readonly changedAt: number;
  state: "settling" | "queued" | "served" | "refused";
  /** Set while it is served. */
  served: PublishedDelta | undefined;
  /** Monotonic ms: a refusal that may not be the files' fault is looked at again. */
  retryAt: number;
}

/** After which a refusal that may not be the files' fault is looked at again. */
const RETRY_MS = 10_000;

/** Lets only deltas into the catalogue that were applied here, between versions that are published. */
export class DeltaGate {
  readonly #options: DeltaGateOptions;
  readonly #candidates = new Map<string, Candidate>();
  readonly #refusals: Refusals;
  readonly #stop = new AbortController();
  #found: FolderScan["deltas"] = new Map();
  /** Deltas that come whole: there is nothing to wait for. */
  readonly #expected = new Set<string>();
  #queue: string[] = [];
  #checking: string | undefined;
  #working: Promise<void> = Promise.resolve();

  constructor(options: DeltaGateOptions) {
    this.#options = options;
    this.#refusals = new Refusals(options);
  }

  /** Takes what the folder has now. */
  look(deltas: FolderScan["deltas"]): void {
    this.#found = deltas;
    this.lookAgain();
  }

  /** After versions came or went: some of the deltas may be served now, and others no longer. */
  lookAgain(): void {
    if (this.#stop.signal.aborted) return;
    for (const [key, candidate] of this.#candidates) {
      if (!this.#found.has(key)) this.#forget(key, candidate);
    }
    for (const [key, delta] of this.#found) this.#look(key, delta);
  }

  /** Its files came into the folder, whole. @param key of `deltaKey` */
  expect(key: string): void {
    this.#expected.add(key);
  }

  /** Files of that name are there, whatever is to be said of them. @param key of `deltaKey` */
  isInFolder(key: string): boolean {
    return this.#found.has(key) || this.#expected.has(key);
  }

  /** Looks at refused deltas again: what spoke against them may be gone. What is served stays so. */
  retryRefused(): void {
    for (const candidate of this.#candidates.values()) {
      if (candidate.state === "refused") candidate.retryAt = this.#options.clock.now();
    }
  }

  status() {
    const waiting = [...this.#candidates.values()]
      .filter(({ state }) => state === "settling" || state === "queued")
      .map((candidate) => ({
        file: fileNameOf(candidate.delta),
        reason: this.#waitReason(candidate),
      }));
    return { refused: this.#refusals.list(), waiting, checking: this.#checking };
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#working;
  }

  #look(key: string, delta: FolderDelta): void {
    const { clock, settleMs, records } = this.#options;
    const fingerprint = pairFingerprint(delta);
    let candidate = this.#candidates.get(key);
    if (candidate?.fingerprint !== fingerprint) {
      // What was served is no longer what was checked: out of sight until it is checked again.
      if (candidate !== undefined) this.#forget(key, candidate);
      candidate = newCandidate(delta, fingerprint, clock.now());
      this.#candidates.set(key, candidate);
    }
    const ends = this.#endsOf(delta);
    if (ends === undefined || (candidate.state === "served" && !this.#isServed(candidate))) {
      this.#setBack(candidate);
      this.#refusals.delete(key);
    }
    if (candidate.state === "refused" && clock.now() >= candidate.retryAt) candidate.state = "settling";
    if (candidate.state !== "settling" || ends === undefined || !isWhole(delta)) return;
    const isKnown = this.#expected.has(key) || records.proven(key)?.fingerprint === fingerprint;
    if (!isKnown && clock.now() - candidate.changedAt < settleMs) return;
    candidate.state = "queued";
    this.#expected.delete(key);
    this.#queue.push(key);
    this.#working = this.#working.then(() => this.#next());
  }

  async #next(): Promise<void> {
    const { records, publishers, verify } = this.#options;
    const key = this.#queue.shift();
    const candidate = key === undefined ? undefined : this.#candidates.get(key);
    if (key === undefined || candidate?.state !== "queued" || this.#stop.signal.aborted) return;
    const { delta, fingerprint } = candidate;
    const ends = this.#endsOf(delta);
    if (ends === undefined) return this.#setBack(candidate);
    this.#checking = fileNameOf(delta);
    try {
      const facts = readDeltaFacts(delta, ends, publishers());
      const known = records.proven(key);
      if (known?.id !== facts.id || known.fingerprint !== fingerprint) {
        const id = await verify(delta.index?.path ?? "", this.#stop.signal);
        // Its files were replaced meanwhile: the next look at the folder tells.
        if (id !== facts.id) return this.#setBack(candidate);
      }
      const servedAt = known?.id === facts.id ? known.servedAt : Math.round(this.#options.clock.wall());
      await records.setProven(key, { id: facts.id, fingerprint, servedAt });
      this.#serve(key, candidate, { facts, servedAt, isNew: known?.id !== facts.id });
    } catch (err) {
      if (this.#candidates.get(key) !== candidate || isAppError(err, "ERR_ABORTED")) return;
      // Its versions went while they were read.
      if (this.#endsOf(delta) === undefined) return this.#setBack(candidate);
      const isTransient = this.#refusals.add(key, delta, err);
      candidate.state = "refused";
      candidate.retryAt = isTransient ? this.#options.clock.now() + RETRY_MS : Infinity;
      this.#options.onRefused(delta);
    } finally {
      this.#checking = undefined;
    }
  }

  #serve(
    key: string,
    candidate: Candidate,
    {
      facts,
      servedAt,
      isNew,
    }: { readonly facts: DeltaFacts; readonly servedAt: number; readonly isNew: boolean },
  ): void {
    // A change or a removal during the check has made another candidate of it.
    if (this.#candidates.get(key) !== candidate || this.#stop.signal.aborted) return;
    if (this.#endsOf(candidate.delta) === undefined) return this.#setBack(candidate);
    const { catalogue, logger } = this.#options;
    const served = publishedForm(candidate.delta, facts, servedAt);
    const { name, version, from, id } = served;
    catalogue.publishDelta(served);
    candidate.state = "served";
    candidate.served = served;
    this.#refusals.delete(key);
    logger.info({ image: name, version, from, id, bytes: served.pack.size, isNew }, "delta is served");
    this.#options.onServed(served, { isNew });
  }

  /** The versions at its ends; undefined unless both are published. */
  #endsOf({ name, version, from }: FolderDelta): DeltaEnds | undefined {
    const { catalogue } = this.#options;
    const base = catalogue.get(name, from);
    const target = catalogue.get(name, version);
    // Case counts: clients ask for the name in the head.
    if (base === undefined || target === undefined || target.name !== name) return undefined;
    return { base, target };
  }

  #isServed({ delta: { name, version, from }, served }: Candidate): boolean {
    return served !== undefined && this.#options.catalogue.delta(name, version, from) === served;
  }

  /** What comes next is decided anew; it is not served meanwhile. */
  #setBack(candidate: Candidate): void {
    candidate.state = "settling";
    const { served } = candidate;
    if (served === undefined) return;
    const { catalogue, logger, onGone } = this.#options;
    const { name, version, from } = served;
    if (this.#isServed(candidate)) catalogue.removeDelta(name, version, from);
    candidate.served = undefined;
    logger.info({ image: name, version, from }, "delta is no longer served");
    onGone(served);
  }

  #forget(key: string, candidate: Candidate): void {
    this.#setBack(candidate);
    this.#candidates.delete(key);
    this.#refusals.delete(key);
  }

  #waitReason({ delta, state }: Candidate): string {
    const { name, version, from, pack, index } = delta;
    if (pack === undefined) return `waits for ${deltaPackFileName(name, version, from)}`;
    if (index === undefined) return `waits for ${deltaIndexFileName(name, version, from)}`;
    if (state === "queued") return "waits for its check";
    if (this.#endsOf(delta) === undefined) return `waits for versions ${from} and ${version} of ${name}`;
    return "changed a moment ago";
  }
}

function newCandidate(delta: FolderDelta, fingerprint: string, now: number): Candidate {
  return { delta, fingerprint, changedAt: now, state: "settling", served: undefined, retryAt: Infinity };
}

function fileNameOf({ name, version, from }: FolderDelta): string {
  return deltaPackFileName(name, version, from);
}

function isWhole({ pack, index }: FolderDelta): boolean {
  return pack !== undefined && index !== undefined;
}

function publishedForm(
  { name, version, from, pack, index }: FolderDelta,
  { id, headSha256, createdAt }: DeltaFacts,
  servedAt: number,
): PublishedDelta {
  if (pack === undefined || index === undefined) throw new Error("unreachable: half a delta was checked");
  // The date of the head is the same on every origin; one in the future must not be sent (RFC 9110 §8.8.2.1).
  const lastModified = Math.min(createdAt, Math.floor(servedAt / 1000));
  const packName = deltaPackFileName(name, version, from);
  const indexName = deltaIndexFileName(name, version, from);
  return {
    name,
    version,
    from,
    id,
    pack: servedFile(pack, { fileName: packName, hash: id, part: "p", lastModified }),
    index: servedFile(index, { fileName: indexName, hash: headSha256, part: "i", lastModified }),
  };
}
