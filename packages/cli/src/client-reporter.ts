import type {
  ClearanceStatus,
  ClientStatus,
  ImageStatus,
  StatusError,
  VersionStatus,
  WanStatus,
} from "@ckmesh/client";
import { formatBytes } from "@ckmesh/core";
import type { Output } from "./output.js";

/** Turns what a client's status says from time to time into progress and steps. */
export class ClientReporter {
  readonly #output: Output;
  readonly #states = new Map<string, string>();
  readonly #errors = new Map<string, string>();

  constructor(output: Output) {
    this.#output = output;
  }

  /** Reports what changed since the last call, and how far fetching is. */
  show(status: ClientStatus): void {
    this.#noteError("client", status.lastError);
    for (const image of status.images) {
      this.#noteError(image.name, image.lastError);
      for (const version of image.versions) this.#noteState(image, version);
    }
    const fetching = status.images.flatMap((image) =>
      image.versions
        .filter(({ state }) => state === "fetching")
        .map((version) => ({ image: image.name, version })),
    );
    if (fetching.length === 0) {
      this.#output.endProgress();
      return;
    }
    const done = { previous: 0, delta: 0, host: 0, peers: 0, origin: 0 };
    for (const { version } of fetching) {
      for (const source of SOURCES) done[source] += version.bytes[source];
    }
    this.#output.progress({
      phase: "fetching",
      bytesDone: SOURCES.reduce((sum, source) => sum + done[source], 0),
      bytesTotal: fetching.reduce((sum, { version }) => sum + version.needed, 0),
      note: sourcesText(done),
      fields: { images: fetching.map(({ image, version }) => versionFacts(image, version)) },
    });
  }

  /** The end of a run. */
  summary(status: ClientStatus): void {
    this.show(status);
    this.#output.summary(statusLines(status), statusFacts(status));
  }

  #noteState(image: ImageStatus, version: VersionStatus): void {
    const key = `${image.name}\n${version.version}`;
    if (this.#states.get(key) === version.state) return;
    this.#states.set(key, version.state);
    this.#output.step(
      "state",
      `${image.name} version ${version.version}: ${version.state}  ${sourcesText(version.bytes)}`,
      versionFacts(image.name, version),
    );
  }

  #noteError(subject: string, error: StatusError | undefined): void {
    const text = error === undefined ? "" : errorText(error);
    if ((this.#errors.get(subject) ?? "") === text) return;
    this.#errors.set(subject, text);
    if (text !== "") this.#output.step("problem", `${subject}: ${text}`, { subject, message: text });
  }
}

const SOURCES = ["previous", "delta", "host", "peers", "origin"] as const;

function errorText(error: StatusError): string {
  return `${error.message} (${error.code})`;
}

/** `previous 1.0 MB, origin 3.0 MB`: only sources that gave something. */
function sourcesText(bytes: Readonly<Record<string, number>>): string {
  return Object.entries(bytes)
    .filter(([, count]) => count > 0)
    .map(([source, count]) => `${source} ${formatBytes(count)}`)
    .join(", ");
}

function versionFacts(image: string, status: VersionStatus): Readonly<Record<string, unknown>> {
  const { version, state, needed, bytes, wasted, peers } = status;
  return { image, version, state, needed, bytes, wasted, peers };
}

/** What the publisher lets this machine do with a version. */
function clearanceText({ type, until, reason }: ClearanceStatus): string {
  switch (type) {
    case "ring":
      return "not released for this machine yet";
    case "held":
      return "rollout held";
    case "early":
      return `not before ${until ?? "its time"}`;
    case "prefetch":
      return `becomes active at ${until ?? "its time"}`;
    case "withdrawn":
      return `withdrawn${reason === undefined ? "" : `: ${reason}`}`;
  }
}

function policyText({ policy }: ImageStatus): string {
  return policy === undefined ? "" : `, policy ${policy}`;
}

/** `WAN: slow (timetable) until 2026-01-01T18:00:00.000Z, at most 25.0 Mbit/s for the site`. */
export function wanText({ mode, reason, until, bytesPerSec, yieldingTo }: WanStatus): string {
  const parts = [
    `WAN: ${mode === "rate" ? "limited" : mode} (${reason})${until === undefined ? "" : ` until ${until}`}`,
    bytesPerSec === undefined ? "" : `at most ${formatBits(bytesPerSec)} for the site`,
    yieldingTo === undefined ? "" : `others use the link: at ${formatBits(yieldingTo)}`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}

/** As links are sold. */
function formatBits(bytesPerSec: number): string {
  return `${((bytesPerSec * 8) / 1e6).toFixed(1)} Mbit/s`;
}

/** `client status` for machines: all that the client says. */
export function statusFacts(status: ClientStatus): Readonly<Record<string, unknown>> {
  return { ...status };
}

/** `client status` for people. */
export function statusLines(status: ClientStatus): readonly string[] {
  const lines: string[] = [];
  for (const image of status.images) {
    lines.push(`${image.name}  active ${image.active ?? "none"}${policyText(image)}`);
    for (const version of image.versions) {
      const wasted = version.wasted.rejected + version.wasted.duplicate + version.wasted.retried;
      lines.push(
        [
          `  version ${version.version}  ${version.state}`,
          sourcesText(version.bytes),
          wasted > 0 ? `wasted ${formatBytes(wasted)}` : "",
          version.state === "fetching" ? `${version.peers} peers` : "",
          version.importing === undefined ? "" : `copying ${version.importing}`,
          version.clearance === undefined ? "" : clearanceText(version.clearance),
          version.error === undefined ? "" : errorText(version.error),
        ]
          .filter((part) => part !== "")
          .join("  "),
      );
    }
    const problem = image.control?.problem;
    if (problem !== undefined) lines.push(`  control record: ${errorText(problem)}`);
    if (image.lastError !== undefined) lines.push(`  last error: ${errorText(image.lastError)}`);
  }
  if (status.wan !== undefined) lines.push(wanText(status.wan));
  if (status.lastError !== undefined) lines.push(`last error: ${errorText(status.lastError)}`);
  if (status.inbound === "none")
    lines.push(`no peer has ever connected here: does a firewall block TCP port ${status.peerPort ?? ""}?`);
  const current = status.images.filter((image) => image.active !== undefined).length;
  lines.push(
    `${status.images.length} ${status.images.length === 1 ? "image" : "images"}, ${current} active; client ${status.running ? "running" : "not running"}` +
      (status.nextCheckAt === undefined ? "" : `, next check ${status.nextCheckAt}`),
  );
  return lines;
}
