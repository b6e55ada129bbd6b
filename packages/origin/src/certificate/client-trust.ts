import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { formatName, type RevocationListFacts, readCertificate, readRevocationList } from "@ckmesh/auth";
import { AppError, type Clock, describeError, type Logger } from "@ckmesh/core";
import { readBlocks, toPem } from "./pem-blocks.js";

/** How often the files are looked at; also the longest time until a revoked certificate is refused. */
const CHECK_MS = 10_000;

export interface ClientTrustOptions {
  /** CAs whose certificates are taken, PEM or DER; each may hold several. */
  readonly caFiles: readonly string[];
  /** Revocation lists, PEM or DER; each may hold several. With none, nothing counts as revoked. */
  readonly crlFiles: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a TLS context is told of the client's certificates, all PEM. */
export interface TrustContext {
  readonly ca: string[];
  /** Absent where there are no lists: an empty one would still ask for one of each CA. */
  readonly crl?: string[];
}

interface Trust {
  readonly cas: readonly X509Certificate[];
  readonly context: TrustContext;
  readonly lists: readonly RevocationListFacts[];
}

/**
 * Whom a certificate listener trusts, read again when a file changes. Once there is one revocation list, every CA on
 * the way from a certificate to its root needs one that is in date; otherwise all of its certificates are refused.
 * A file that cannot be read leaves everything as it was: lists that get too old refuse by themselves.
 */
export class ClientTrust {
  readonly #options: ClientTrustOptions;
  readonly #listeners: (() => void)[] = [];
  readonly #overdue = new Set<string>();
  #stamp: string | undefined;
  #trust: Trust;
  #cancel: () => void;

  private constructor(options: ClientTrustOptions) {
    this.#options = options;
    this.#stamp = stampOf(options);
    this.#trust = readTrust(options);
    this.#report();
    this.#cancel = options.clock.after(CHECK_MS, () => this.#look());
  }

  /** @throws {AppError} ERR_CONFIG_INVALID naming the file */
  static start(options: ClientTrustOptions): ClientTrust {
    return new ClientTrust(options);
  }

  /** For `createServer` and `renewTls`. */
  get context(): TrustContext {
    return this.#trust.context;
  }

  /** @param run when CAs or lists have changed: contexts must be renewed and sessions forgotten */
  onChange(run: () => void): void {
    this.#listeners.push(run);
  }

  /** True if one of the CAs signed this certificate. */
  hasIssuerOf(certificate: X509Certificate): boolean {
    return this.#trust.cas.some((ca) => certificate.checkIssued(ca) && certificate.verify(ca.publicKey));
  }

  close(): void {
    this.#cancel();
  }

  #look(): void {
    const stamp = stampOf(this.#options);
    if (stamp !== undefined && stamp !== this.#stamp) {
      this.#stamp = stamp;
      this.#reload();
    } else {
      this.#reportOverdue();
    }
    this.#cancel = this.#options.clock.after(CHECK_MS, () => this.#look());
  }

  #reload(): void {
    const { logger } = this.#options;
    try {
      this.#trust = readTrust(this.#options);
    } catch (err) {
      logger.error(
        { err, reason: describeError(err) },
        "CAs or revocation lists of clients cannot be read, the old ones stay",
      );
      return;
    }
    this.#report();
    logger.info(
      { cas: this.#trust.context.ca.length, lists: this.#trust.lists.length },
      "CAs and revocation lists of clients read again",
    );
    for (const run of this.#listeners) run();
  }

  #report(): void {
    const { cas, lists } = this.#trust;
    this.#overdue.clear();
    this.#reportOverdue();
    if (lists.length === 0) return;
    const covered = new Set(lists.map(({ issuer }) => issuer));
    for (const { raw } of cas) {
      const ca = formatName(readCertificate(raw).subject);
      if (!covered.has(ca)) {
        this.#options.logger.warn(
          { ca },
          "this CA has no revocation list: its certificates are refused as long as any list is configured",
        );
      }
    }
  }

  #reportOverdue(): void {
    const now = this.#options.clock.wall();
    for (const { issuer, nextUpdate } of this.#trust.lists) {
      if (nextUpdate === undefined || nextUpdate > now || this.#overdue.has(issuer)) continue;
      this.#overdue.add(issuer);
      this.#options.logger.error(
        { ca: issuer, nextUpdate: new Date(nextUpdate).toISOString() },
        "revocation list is out of date: certificates of this CA are refused until a new one is there",
      );
    }
  }
}

/**
 * Certificates of a file, in PEM or DER.
 * @throws {AppError} ERR_CONFIG_INVALID naming `setting` and file
 */
export function readCertificateFile(file: string, setting: string): readonly X509Certificate[] {
  return readDerFile(file, setting, "CERTIFICATE", (der) => new X509Certificate(der));
}

function readTrust({ caFiles, crlFiles }: ClientTrustOptions): Trust {
  const cas = caFiles.flatMap((file) => readCertificateFile(file, "clientCertificates.ca"));
  const lists = crlFiles.flatMap((file) =>
    readDerFile(file, "clientCertificates.crl", "X509 CRL", (der) => ({
      pem: toPem(der, "X509 CRL"),
      facts: readRevocationList(der),
    })),
  );
  const context = {
    ca: cas.map((ca) => toPem(ca.raw, "CERTIFICATE")),
    ...(lists.length === 0 ? {} : { crl: lists.map(({ pem }) => pem) }),
  };
  try {
    createSecureContext(context);
  } catch (cause) {
    throw new AppError("ERR_CONFIG_INVALID", `clientCertificates: ${describeError(cause)}`, { cause });
  }
  return { cas, context, lists: lists.map(({ facts }) => facts) };
}

function readDerFile<T>(
  file: string,
  setting: string,
  label: "CERTIFICATE" | "X509 CRL",
  read: (der: Buffer) => T,
): readonly T[] {
  try {
    return readBlocks(readFileSync(file), label).map((der) => read(der));
  } catch (cause) {
    throw new AppError("ERR_CONFIG_INVALID", `${setting}: cannot use ${file}: ${describeError(cause)}`, {
      cause,
    });
  }
}

/** Changes with any of the files; undefined while one of them is missing, being replaced. */
function stampOf({ caFiles, crlFiles }: ClientTrustOptions): string | undefined {
  try {
    return [...caFiles, ...crlFiles]
      .map((file) => statSync(file))
      .map((s) => `${s.mtimeMs}:${s.size}:${s.ino}`)
      .join("/");
  } catch {
    return undefined;
  }
}
