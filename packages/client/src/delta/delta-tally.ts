import {
  type DeltaBytes,
  NO_SOURCE_BYTES,
  ROW_SOURCES,
  type SourceBytes,
  type VersionRecord,
} from "@ckmesh/store";

/**
 * What came of deltas to one version, also of those that are not here any more: their rows were needed to get it, and
 * count with its own (DESIGN.md section 9).
 */
export class DeltaTally {
  readonly #deltas = new Map<string, DeltaBytes>();

  /** @param known kept from earlier runs */
  constructor(known: readonly DeltaBytes[] = []) {
    for (const delta of known) this.#deltas.set(delta.id, delta);
  }

  /** What is kept of it with the version. */
  get record(): Pick<VersionRecord, "deltas"> {
    return this.#deltas.size === 0 ? {} : { deltas: [...this.#deltas.values()] };
  }

  /** Bytes of all their rows. */
  get needed(): number {
    const { previous, delta, host, peers, origin } = this.add(NO_SOURCE_BYTES);
    return previous + delta + host + peers + origin;
  }

  /** What is held of a delta now, in the place of what was noted of it before. */
  note(delta: DeltaBytes): void {
    this.#deltas.set(delta.id, delta);
  }

  /** The bytes of the version's own rows and of all deltas'. */
  add(own: SourceBytes): SourceBytes {
    const sum = { ...own };
    for (const { bytes } of this.#deltas.values())
      for (const source of ROW_SOURCES) sum[source] += bytes[source];
    return sum;
  }
}
