import type { Counter, Gauge, Metrics } from "@ckmesh/core";

export interface ClientMetrics {
  readonly rowBytes: Counter;
  readonly wastedBytes: Counter;
  readonly checks: Counter;
  readonly versions: Counter;
  readonly peers: Gauge;
}

export function createClientMetrics(metrics: Metrics): ClientMetrics {
  return {
    rowBytes: metrics.counter("ckmesh_client_frame_bytes_total", "Bytes of rows stored, by source", [
      "source",
    ]),
    wastedBytes: metrics.counter("ckmesh_client_wasted_bytes_total", "Bytes that were of no use, by kind", [
      "kind",
    ]),
    checks: metrics.counter("ckmesh_client_checks_total", "Checks of the origin, by result", ["result"]),
    versions: metrics.counter("ckmesh_client_versions_total", "Versions that reached a state", ["state"]),
    peers: metrics.gauge("ckmesh_client_peers", "Linked peers, all versions"),
  };
}
