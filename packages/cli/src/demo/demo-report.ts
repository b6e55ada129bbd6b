import { formatBytes, formatDuration } from "@ckmesh/core";
import { textTable } from "../text-table.js";
import type { ClientResult } from "./loopback-fleet.js";

/** What one version cost. */
export interface Round {
  readonly version: number;
  readonly clients: readonly ClientResult[];
  readonly ms: number;
  /** Pack and index. */
  readonly publishedBytes: number;
  /** What of the pack no older version holds. */
  readonly newBytes: number;
  /** The delta that led to it, pack and index; absent where there was none. */
  readonly deltaBytes?: number;
}

/** Bytes that crossed the WAN of a site, used or not. */
function wanBytesOf(round: Round, site: string): number {
  return round.clients
    .filter((client) => client.site === site)
    .reduce((sum, { bytes, wastedOriginBytes }) => sum + bytes.origin + wastedOriginBytes, 0);
}

/** The table of one version for people. */
export function roundTable(round: Round): readonly string[] {
  const rows = round.clients
    .toSorted((a, b) => (a.client < b.client ? -1 : 1))
    .map(({ client, bytes }) => [
      client,
      formatBytes(bytes.previous),
      formatBytes(bytes.delta),
      formatBytes(bytes.peers),
      formatBytes(bytes.origin),
    ]);
  const sites = [...new Set(round.clients.map(({ site }) => site))];
  const copies = sites.map((site) => {
    const wan = wanBytesOf(round, site);
    const share = (wan / round.publishedBytes).toFixed(2);
    const ofNew =
      round.newBytes < round.publishedBytes / 2
        ? `, ${(wan / round.newBytes).toFixed(2)} of what is new`
        : "";
    return `site ${site}: ${formatBytes(wan)} over the WAN = ${share} copies of pack and index${ofNew}`;
  });
  return [
    "",
    `version ${round.version}: pack and index ${formatBytes(round.publishedBytes)}, ` +
      `${formatBytes(round.newBytes)} of the pack new, all clients after ${formatDuration(round.ms)}`,
    ...textTable(["client", "from previous", "by delta", "from peers", "from origin"], rows),
    ...(round.deltaBytes === undefined ? [] : [deltaLine(round, round.deltaBytes)]),
    ...copies,
  ];
}

/** What is new and like nothing before is not in the delta: it comes as it is. */
function deltaLine({ version, clients }: Round, bytes: number): string {
  const rebuilt = Math.max(...clients.map((client) => client.bytes.delta));
  return `version ${version}: ${formatBytes(bytes)} of delta instead of ${formatBytes(rebuilt)} of frames that it yields`;
}

/** What to do after the demonstration. */
export function howToGoOn(folder: string | undefined): readonly string[] {
  return [
    ...(folder === undefined ? [] : [`Kept in ${folder}.`]),
    "How to go on, with a disk of yours:",
    "  ckmesh pack DISK --name NAME --out ./images",
    "  ckmesh origin --root ./images --listen 0.0.0.0:8080 --anonymous --with-tracker",
    "  ckmesh client run --origin http://HOST:8080/MEDVImages --store ./store --image NAME",
    "ckmesh is `node packages/cli/bundle/bin/ckmesh.js`. Clients of a site share when the origin has TLS: README.md shows",
    "that, with accounts and signatures. All stores here were byte for byte what the origin serves.",
  ];
}
