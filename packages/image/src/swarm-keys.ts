import { hkdfSync } from "node:crypto";

/** What the secret of a version yields (peer-wire section 2). */
export interface SwarmKeys {
  /** TLS 1.3 external PSK, 32 bytes. Secret. */
  readonly psk: Uint8Array;
  /** The only public id of the swarm, 32 bytes. */
  readonly swarm: Uint8Array;
}

/** HKDF-SHA256 of the head's secret with the version id as salt. */
export function deriveSwarmKeys(secret: Uint8Array, versionId: Uint8Array): SwarmKeys {
  const derive = (info: string): Uint8Array =>
    new Uint8Array(hkdfSync("sha256", secret, versionId, info, 32));
  return { psk: derive("ckmesh/1 psk"), swarm: derive("ckmesh/1 swarm") };
}
