import { AppError } from "@ckmesh/core";
import { type ListenAddress, parseListen, readKeyFile } from "@ckmesh/runtime";
import { isSiteLabel, MAX_SITE_NETWORKS, parseNetwork } from "@ckmesh/wire";
import type { TrackerConfig } from "./config-schema.js";
import type { SiteRange } from "./site-rules.js";
import { isLoopbackListen } from "./tracker-listener.js";
import { DEFAULT_ANNOUNCE_MS, DEFAULT_LIMITS, type TrackerRules } from "./tracker-rules.js";

/** A listener as configured. */
export interface Listen {
  readonly address: ListenAddress;
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
}

/**
 * Checks what the schema cannot and reads the key files.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export async function compileConfig(
  config: TrackerConfig,
): Promise<{ readonly rules: TrackerRules; readonly listens: readonly Listen[] }> {
  const open = config.open ?? false;
  const fleetKey =
    config.fleetKeyFile === undefined ? undefined : await readKeyFile(config.fleetKeyFile, "fleetKeyFile");
  const joinKey =
    config.joinKeyFile === undefined ? undefined : await readKeyFile(config.joinKeyFile, "joinKeyFile");
  if (!open && fleetKey === undefined && joinKey === undefined) {
    throw invalid(
      "nobody could join: give --fleet-key-file, --join-key-file, or --open on a trusted network",
    );
  }
  const listens = listensOf(config, open);
  const isLocal = listens.length > 0 && listens.every((listen) => isLoopbackListen(listen.address));
  return {
    listens,
    rules: {
      ...(fleetKey === undefined ? {} : { fleetKey }),
      ...(joinKey === undefined ? {} : { joinKey }),
      open,
      allowLoopback: config.allowLoopback ?? (open || isLocal),
      sites: (config.sites ?? []).map(siteRange),
      announceMs: config.announceMs ?? DEFAULT_ANNOUNCE_MS,
      limits: {
        maxConnections: config.limits?.maxConnections ?? DEFAULT_LIMITS.maxConnections,
        maxConnectionsPerAddress:
          config.limits?.maxConnectionsPerAddress ?? DEFAULT_LIMITS.maxConnectionsPerAddress,
        maxSwarmsPerPeer: config.limits?.maxSwarmsPerPeer ?? DEFAULT_LIMITS.maxSwarmsPerPeer,
        maxReports: config.limits?.maxReports ?? DEFAULT_LIMITS.maxReports,
      },
    },
  };
}

function listensOf(config: TrackerConfig, open: boolean): readonly Listen[] {
  const { listen, tlsListen, tlsCert, tlsKey } = config;
  const listens: Listen[] = [];
  if (listen !== undefined) {
    const address = parseListen(listen);
    if (!open && config.allowPlain !== true && !isLoopbackListen(address)) {
      throw invalid(
        `listen: ${listen} would take plain ws from other machines; use --tls-listen, or allowPlain behind a TLS proxy, or --open on a trusted network`,
      );
    }
    listens.push({ address });
  }
  if (tlsListen !== undefined) {
    if (tlsCert === undefined || tlsKey === undefined) {
      throw invalid("tlsListen needs tlsCert and tlsKey (--tls-cert, --tls-key)");
    }
    listens.push({ address: parseListen(tlsListen), tls: { certFile: tlsCert, keyFile: tlsKey } });
  }
  return listens;
}

function siteRange(site: { readonly label: string; readonly networks: readonly string[] }): SiteRange {
  if (!isSiteLabel(site.label)) {
    throw invalid(`sites: ${JSON.stringify(site.label)} is no site label; use 1 to 64 printable characters`);
  }
  if (site.networks.length > MAX_SITE_NETWORKS) {
    throw invalid(`sites: ${site.label} has more than ${MAX_SITE_NETWORKS} networks`);
  }
  return {
    label: site.label,
    networks: site.networks.map((text) => {
      const network = parseNetwork(text);
      if (network === undefined) {
        throw invalid(
          `sites: ${site.label}: ${JSON.stringify(text)} is no network; write for example 10.1.0.0/16`,
        );
      }
      return network;
    }),
  };
}

function invalid(message: string): AppError {
  return new AppError("ERR_CONFIG_INVALID", message);
}
