import { AppError, equalBytes, isAppError, type Logger, type Run } from "@ckmesh/core";
import { indexFileName, packFileName } from "@ckmesh/image";
import type { OriginHttp } from "@ckmesh/net";
import type { VersionFiles } from "@ckmesh/store";

/** What the client needs of the origin: the real one or, in tests, one in memory. */
export type OriginSource = Pick<
  OriginHttp,
  "fetchHead" | "fetchSmallFile" | "fetchRange" | "fetchJson" | "fetchTicket"
>;

/** Position of the version id in the header of a pack (specs: image format). */
const PACK_ID_AT = 16;

export interface OriginRowsOptions {
  readonly origin: OriginSource;
  readonly files: VersionFiles;
  readonly logger: Logger;
  /** Entity tag of the alias index whose head this is; undefined after a restart. */
  readonly aliasEtag?: string;
  /** The index has a name of its own, as `NAME.ckm.index` is a foreign one. */
  readonly isFramesIndex: boolean;
}

export interface RowsRequest {
  readonly run: Run;
  /** That the run is of. */
  readonly span: number;
  readonly signal: AbortSignal;
  readonly onData: (bytes: Uint8Array) => void | Promise<void>;
  /** Bytes that a server without ranges sent beside them. */
  readonly onSkipped: (count: number) => void;
}

/** One file of the version at the origin. */
interface RemoteFile {
  readonly name: string;
  readonly etag?: string;
}

/**
 * The rows of one version at the origin: under the URL of the version or, on a stock server that has only the
 * alias, there and only while it stays the same file (`If-Match`).
 */
export class OriginRows {
  readonly #options: OriginRowsOptions;
  /** Absent: not known yet which URL works. */
  readonly #remote: { index?: RemoteFile; pack?: RemoteFile } = {};

  constructor(options: OriginRowsOptions) {
    this.#options = options;
  }

  /**
   * Streams the bytes of a run of rows of one file.
   * @throws {AppError} as `OriginHttp.fetchRange`; ERR_ORIGIN_CHANGED when the alias names another version
   */
  async fetch({ run, span, signal, onData, onSkipped }: RowsRequest): Promise<void> {
    const { files, origin } = this.#options;
    const { file, offset, length } = files.table.locate(run);
    const range = { first: offset, last: offset + length - 1, span, signal, onSkipped };
    const known = this.#remote[file];
    if (known !== undefined) {
      await origin.fetchRange(known.name, {
        ...range,
        ...(known.etag && { etag: known.etag }),
        onData,
      });
      return;
    }
    const versioned = this.#versionFile(file);
    try {
      await origin.fetchRange(versioned.name, { ...range, onData });
      this.#remote[file] = versioned;
    } catch (err) {
      if (!isAppError(err, "ERR_IMAGE_NOT_FOUND")) throw err;
      const alias = await this.#aliasFile(file, signal);
      this.#options.logger.info({ file: alias.name }, "origin has no version url: the alias is used");
      await origin.fetchRange(alias.name, {
        ...range,
        ...(alias.etag && { etag: alias.etag }),
        onData,
      });
      this.#remote[file] = alias;
    }
  }

  #versionFile(file: "index" | "pack"): RemoteFile {
    const { name, version } = this.#options.files.signed.head;
    if (file === "pack") return { name: packFileName(name, version) };
    const { isFramesIndex } = this.#options;
    return {
      name: isFramesIndex ? `${packFileName(name, version)}.frames.index` : indexFileName(name, version),
    };
  }

  /** The alias, if it still is this version. */
  async #aliasFile(file: "index" | "pack", signal: AbortSignal): Promise<RemoteFile> {
    const { files, origin, aliasEtag, isFramesIndex } = this.#options;
    const { signed, table } = files;
    const suffix = file === "pack" ? "" : isFramesIndex ? ".frames.index" : ".index";
    const name = `${signed.head.name}.ckm${suffix}`;
    if (file === "index" && aliasEtag !== undefined) return { name, etag: aliasEtag };
    const answer = await origin.fetchHead(name, { signal });
    if (answer.status !== "found") throw new AppError("ERR_ORIGIN_INVALID", `no head of ${name} was sent`);
    const isSame =
      file === "index"
        ? containsHead(answer.bytes, signed.headBytes)
        : table.packHeaderLength === 0 ||
          equalBytes(answer.bytes.subarray(PACK_ID_AT, PACK_ID_AT + 32), signed.id);
    if (
      !isSame ||
      (file === "pack" && answer.total !== undefined && answer.total !== signed.head.pack.length)
    ) {
      throw new AppError(
        "ERR_ORIGIN_CHANGED",
        `${name} at the origin is no longer version ${signed.head.version}`,
      );
    }
    return { name, ...(answer.etag !== undefined && { etag: answer.etag }) };
  }
}

function containsHead(block: Uint8Array, headBytes: Uint8Array): boolean {
  return Buffer.from(block).includes(Buffer.from(headBytes));
}
