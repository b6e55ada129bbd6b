import { statSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import type { Clock, Logger } from "@ckmesh/core";
import type { OriginConfig } from "../config/config-schema.js";
import type { LogonAudit } from "../logon/logon-audit.js";
import { type Logon, openLogon } from "../logon/open-logon.js";
import { Access, type AccessSettings } from "./access.js";
import { CertificateGate } from "./certificate-gate.js";
import { NetworkList } from "./network-list.js";

/** How long the back ends of an earlier configuration still answer whoever asked them. */
const GRACE_MS = 15_000;

export interface LiveAccessDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly audit: LogonAudit;
}

type AccessConfig = Pick<OriginConfig, "authentication" | "rights" | "trustedProxies">;

/** Who gets in, as the configuration that counts now says. */
export class LiveAccess {
  readonly access: Access;
  /** For the listener that requires client certificates, where some are configured. */
  readonly certificates: CertificateGate | undefined;
  readonly #deps: LiveAccessDeps;
  readonly #outlived = new Map<Logon, () => void>();
  #config: AccessConfig;
  #logon: Logon;
  /** Of the files that are read once, when the back ends are opened. */
  #stamp: string;

  private constructor(access: Access, config: AccessConfig, logon: Logon, deps: LiveAccessDeps) {
    this.access = access;
    this.#config = config;
    this.#logon = logon;
    this.#stamp = stampOf(config);
    this.#deps = deps;
    if (logon.certificates !== undefined) this.certificates = new CertificateGate(logon.certificates);
  }

  /** @throws {AppError} ERR_CONFIG_INVALID */
  static async open(config: AccessConfig, deps: LiveAccessDeps): Promise<LiveAccess> {
    const { clock, logger, audit } = deps;
    let live: LiveAccess | undefined;
    const onChange = (): void => {
      if (live !== undefined) live.#apply();
    };
    const logon = await openLogon(config.authentication, { clock, logger, onChange });
    const access = new Access({ settings: settingsOf(config, logon), clock, audit });
    live = new LiveAccess(access, config, logon, deps);
    return live;
  }

  /** Asked at each request: is there another accounts file? */
  refresh(): Promise<void> | undefined {
    return this.#logon.refresh();
  }

  /**
   * Takes a new configuration; whoever waits for an answer gets it from the old one.
   * @throws {AppError} ERR_CONFIG_INVALID; everything then stays as it was
   */
  async replace(config: AccessConfig): Promise<void> {
    const { clock, logger } = this.#deps;
    // The networks are parsed before anything is opened.
    const networks = new NetworkList("trustedProxies", config.trustedProxies);
    const stamp = stampOf(config);
    const isSame = isDeepStrictEqual(config.authentication, this.#config.authentication);
    if (isSame && stamp === this.#stamp) {
      await this.#logon.look();
    } else {
      const before = this.#logon;
      const logon = await openLogon(config.authentication, {
        clock,
        logger,
        onChange: () => {
          if (this.#logon === logon) this.#apply();
        },
      });
      this.#logon = logon;
      if (logon.certificates !== undefined) this.certificates?.replace(logon.certificates);
      this.#retire(before);
    }
    this.#config = config;
    this.#stamp = stamp;
    this.access.replace({ ...settingsOf(config, this.#logon), trustedProxies: networks });
  }

  async close(): Promise<void> {
    for (const cancel of this.#outlived.values()) cancel();
    await Promise.all([this.#logon, ...this.#outlived.keys()].map((logon) => logon.close()));
  }

  #apply(): void {
    this.access.replace(settingsOf(this.#config, this.#logon));
  }

  #retire(logon: Logon): void {
    const cancel = this.#deps.clock.after(GRACE_MS, () => {
      this.#outlived.delete(logon);
      void logon.close().catch((err: unknown) => {
        this.#deps.logger.warn({ err }, "back ends of the earlier configuration did not close");
      });
    });
    this.#outlived.set(logon, cancel);
  }
}

/** Changes with the files that nobody watches. */
function stampOf({ authentication: { directory, clientCertificates } }: AccessConfig): string {
  const files = [
    directory?.ca,
    directory?.bindPasswordFile,
    clientCertificates?.directoryMapping?.issuers,
  ].filter((file) => file !== undefined);
  return files.map((file) => fileStamp(file)).join("/");
}

function fileStamp(file: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(file);
    return `${mtimeMs}:${size}:${ino}`;
  } catch {
    return ""; // What is wrong with it is said by who opens it.
  }
}

function settingsOf(config: AccessConfig, logon: Logon): AccessSettings {
  return {
    ...logon.settings,
    rights: config.rights,
    trustedProxies: new NetworkList("trustedProxies", config.trustedProxies),
  };
}
