import { Bitfield, describeError, equalBytes, type Logger, type Run } from "@ckmesh/core";
import { carryOverPieces, type OldIndex, PieceHashes, type Section, type SectionKind } from "@ckmesh/image";
import type { ImageRows } from "@ckmesh/store";

/** Sections of the old index from which pieces of the new one follow. */
const OLD_SECTIONS: readonly SectionKind[] = ["container", "frames", "kept", "map", "pages", "ids"];
/** Sections from which `frames` and `pages` follow; fetched first. */
const NEEDED: readonly SectionKind[] = ["kept", "map"];

/** Pieces of a new index that the index of an older version determines (specs: image format, `kept`). */
export class IndexCarry {
  readonly #files: ImageRows;
  readonly #old: OldIndex;
  readonly #wanted: ReadonlySet<SectionKind> | undefined;

  private constructor(files: ImageRows, old: OldIndex, wanted: ReadonlySet<SectionKind> | undefined) {
    this.#files = files;
    this.#old = old;
    this.#wanted = wanted;
  }

  /**
   * Undefined when there is nothing to take, or the old index cannot be read.
   * @param previous its frame table is known
   * @param wanted sections that are; undefined: all
   */
  static async attempt(
    files: ImageRows,
    previous: ImageRows | undefined,
    logger: Logger,
    wanted?: ReadonlySet<SectionKind>,
  ): Promise<IndexCarry | undefined> {
    if (previous === undefined || files.frames !== undefined) return undefined;
    try {
      return await IndexCarry.#create(files, previous, wanted);
    } catch (err) {
      logger.warn({ reason: describeError(err) }, "nothing taken from the older index");
      return undefined;
    }
  }

  static async #create(
    files: ImageRows,
    previous: ImageRows,
    wanted: ReadonlySet<SectionKind> | undefined,
  ): Promise<IndexCarry> {
    const { head, id } = previous.signed;
    const hashes = await readSection(previous, "hashes");
    if (hashes === undefined) throw new Error("unreachable: a complete index has hashes");
    const sections = new Map<SectionKind, Uint8Array>();
    for (const kind of OLD_SECTIONS) {
      if (wanted?.has(kind) === false) continue;
      const bytes = await readSection(previous, kind);
      if (bytes !== undefined) sections.set(kind, bytes);
    }
    return new IndexCarry(files, { head, id, hashes: new PieceHashes(hashes, head), sections }, wanted);
  }

  /** The new version was made from this older one: its `kept` section speaks of these frames. */
  get isNext(): boolean {
    const { previous } = this.#files.signed.head;
    return previous !== undefined && equalBytes(previous.id, this.#old.id);
  }

  /** Pieces to hold back until it is known whether they lie here, or follow from what does. */
  get heldBack(): Bitfield {
    const { isNext } = this;
    return this.#missing(({ kind }) => kind !== "hashes" && !(isNext && NEEDED.includes(kind)));
  }

  /** The sections from which the rest follows are held. */
  get isReady(): boolean {
    return NEEDED.filter((kind) => this.#isWanted(kind)).every((kind) => {
      const run = this.#files.table.layout.section(kind);
      return run === undefined || this.#files.have.hasAll(run.first, run.count);
    });
  }

  #isWanted(kind: SectionKind): boolean {
    return this.#wanted?.has(kind) ?? true;
  }

  #missing(isMeant: (section: Section) => boolean): Bitfield {
    const { table, have } = this.#files;
    const rows = new Bitfield(table.layout.rows);
    for (const section of table.head.sections) {
      const run =
        this.#isWanted(section.kind) && isMeant(section) ? table.layout.section(section.kind) : undefined;
      if (run === undefined) continue;
      for (let row = run.first; row < run.first + run.count; row++) if (!have.has(row)) rows.add(row);
    }
    return rows;
  }

  /**
   * Stores every piece that follows from what is here now.
   * @throws {AppError} ERR_INDEX_INVALID, ERR_STORE_FULL
   */
  async run(): Promise<readonly Run[]> {
    const files = this.#files;
    const { head } = files.signed;
    const hashesSection = await readSection(files, "hashes");
    if (hashesSection === undefined) return [];
    const sections = new Map<SectionKind, Uint8Array>();
    for (const { kind } of head.sections) {
      const bytes = await readSection(files, kind);
      if (bytes !== undefined && kind !== "hashes") sections.set(kind, bytes);
    }
    const pieces = carryOverPieces(this.#old, {
      head,
      hashes: new PieceHashes(hashesSection, head),
      sections,
    });
    const stored: Run[] = [];
    for (const { row, bytes } of pieces) {
      if (files.have.has(row) || files.table.check(row, bytes) !== "good") continue;
      await files.write({ first: row, count: 1 }, bytes, "previous");
      stored.push({ first: row, count: 1 });
    }
    return stored;
  }
}

/** Bytes of a section all of whose pieces are held; undefined for others and for absent ones. */
async function readSection(files: ImageRows, kind: SectionKind): Promise<Uint8Array | undefined> {
  const run = files.table.layout.section(kind);
  if (run === undefined || run.count === 0 || !files.have.hasAll(run.first, run.count)) return undefined;
  return await files.read(run);
}
