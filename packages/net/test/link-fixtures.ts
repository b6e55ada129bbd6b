import { type AppError, type Clock, silentLogger } from "@ckmesh/core";
import type { LinkRole, PeerMessage } from "@ckmesh/wire";
import { ClaimVerifier } from "../src/claim-verifier.js";
import { Identity } from "../src/identity.js";
import { LINK_LIMITS } from "../src/link-limits.js";
import { PeerConnection } from "../src/peer-connection.js";
import type { PeerLink, PeerLinkHandler } from "../src/peer-link.js";
import type { PeerSocket } from "../src/peer-socket.js";
import type { RowSizes } from "../src/wire-guard.js";
import { realRandom } from "./test-clock.js";

export const ROW_BYTES = 1024;
export const ROWS = 10_000;
/** Rows of 1 KiB each. */
const sizes: RowSizes = {
  rows: ROWS,
  rowsLength: (first, length) =>
    length % ROW_BYTES === 0 && first + length / ROW_BYTES <= ROWS ? length / ROW_BYTES : undefined,
};
export const versionId = new Uint8Array(32).fill(7);
const swarmId = new Uint8Array(32).fill(8);
export const infohash = swarmId.subarray(0, 20);

/** A handler that writes everything down. */
export class Recorder implements PeerLinkHandler {
  readonly messages: PeerMessage[] = [];
  readonly closings: (Error | undefined)[] = [];
  drains = 0;
  /** Called for each message after it was noted. */
  react: (message: PeerMessage) => void = () => {};

  message(message: PeerMessage): void {
    this.messages.push(message);
    this.react(message);
  }
  closed(err?: Error): void {
    this.closings.push(err);
  }
  drained(): void {
    this.drains += 1;
  }
  get types(): readonly string[] {
    return this.messages.map((message) => message.type);
  }
}

/** A connection over any socket and what became of it. */
export interface Side {
  readonly connection: PeerConnection;
  readonly recorder: Recorder;
  readonly identity: Identity;
  link: PeerLink | undefined;
  failure: AppError | undefined;
  ended: boolean;
}

export function connectSide(
  socket: PeerSocket,
  role: LinkRole,
  clock: Clock,
  options: {
    readonly identity?: Identity;
    readonly versionId?: Uint8Array;
    readonly autoStart?: boolean;
  } = {},
): Side {
  const identity = options.identity ?? Identity.generate();
  const version = options.versionId ?? versionId;
  const outcome: Pick<Side, "link" | "failure" | "ended"> = {
    link: undefined,
    failure: undefined,
    ended: false,
  };
  const recorder = new Recorder();
  const connection = new PeerConnection({
    socket,
    role,
    versionId: version,
    infohash,
    sizes,
    claims: new ClaimVerifier(version),
    identity,
    peerClass: "wired",
    listenPort: role === "listener" ? 7650 : 0,
    clock,
    random: realRandom,
    logger: silentLogger,
    limits: LINK_LIMITS,
    since: clock.now(),
    up(link) {
      outcome.link = link;
      if (options.autoStart !== false) link.start(recorder);
    },
    failed(err) {
      outcome.failure = err;
    },
    ended() {
      outcome.ended = true;
    },
  });
  return Object.assign(outcome, { connection, recorder, identity });
}

/** Lets everything that is only promises and immediates run to its end. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i += 1) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}
