import { createHash } from "node:crypto";
import type { SwarmEvent } from "@ckmesh/swarm";

/** Every event of every machine, in order: as a hash, so that two runs can be compared, and as lines if wanted. */
export class EventLog {
  readonly #hash = createHash("sha256");
  readonly #keepsLines: boolean;
  readonly lines: string[] = [];
  events = 0;

  constructor(keepsLines = false) {
    this.#keepsLines = keepsLines;
  }

  /** @param node number of the machine that takes the event */
  note(now: number, node: number, event: SwarmEvent): void {
    const line = `${now} ${node} ${JSON.stringify(event, bytesAsHex)}`;
    this.events += 1;
    this.#hash.update(`${line}\n`);
    if (this.#keepsLines) this.lines.push(line);
  }

  /** SHA-256 of all events so far, hex. */
  digest(): string {
    return this.#hash.copy().digest("hex");
  }
}

function bytesAsHex(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
}
