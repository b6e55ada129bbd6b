import type { Clock, Logger, Metrics, Random } from "@ckmesh/core";
import type { Follower, TrustPolicy } from "@ckmesh/image";
import type { Identity, PeerTransport } from "@ckmesh/net";
import type { ImageStore, VersionFiles } from "@ckmesh/store";
import type { PeerAddress, PeerClass } from "@ckmesh/wire";
import type { ClientMetrics } from "./client-metrics.js";
import type { MaterializeFormat, Policy } from "./config/config-schema.js";
import type { SwarmDirectory } from "./peers/swarm-directory.js";
import type { OutcomeReporter } from "./rollout/outcome-reporter.js";
import type { OriginSource } from "./rows/origin-rows.js";
import type { StagingFolder } from "./staging/staging-folder.js";
import type { HostTrim } from "./trim/host-trim.js";
import type { WanControl } from "./wan/wan-control.js";

export interface ClientDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** A version changed its state, or an error came or went: `status` has news. */
  readonly onChange?: () => void;
}

/** What the drivers of images and versions share. */
export interface ClientContext {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: ClientMetrics;
  readonly store: ImageStore;
  readonly origin: OriginSource;
  /** The head comes over TLS. */
  readonly isOriginPrivate: boolean;
  readonly wan: WanControl;
  readonly trust: TrustPolicy;
  /** This machine, as the rings of a rollout see it. */
  readonly follower: Follower;
  readonly outcomes: Pick<OutcomeReporter, "report" | "flush">;
  readonly peers: PeerAccess;
  readonly settings: ImageSettings;
  /** Where pairs may lie before they are wanted. */
  readonly staging: StagingFolder | undefined;
  /** Undefined: nothing is taken from files of the host. */
  readonly trim: Pick<HostTrim, "isOnFor" | "plan"> | undefined;
  /** The status has news. */
  readonly changed: () => void;
  /** Open versions of all images by their names in the hints: sources of equal frames. */
  readonly openPacks: Map<string, VersionFiles>;
}

interface PeerAccess {
  readonly identity: Pick<Identity, "peerIdHex" | "publicKey" | "sign">;
  readonly transport: Pick<PeerTransport, "addSwarm">;
  readonly peerClass: PeerClass;
  /** Announced port; 0: nobody can connect. */
  readonly port: number;
  readonly allowLoopback: boolean;
  readonly allowOpenSwarm: boolean;
  readonly directory: SwarmDirectory;
  readonly remember: (peer: PeerAddress) => void;
  /** A link came up, of whatever worth. */
  readonly met: (link: { readonly inbound: boolean }) => void;
}

export interface ImageSettings {
  policyOf(image: string): Policy;
  readonly keep: number;
  readonly materialize: MaterializeFormat;
  readonly seedPacks: boolean;
  readonly consentHook: string | undefined;
}
