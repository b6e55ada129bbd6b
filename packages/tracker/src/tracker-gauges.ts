import type { ErrorCode, Metrics } from "@ckmesh/core";
import type { ToTracker } from "@ckmesh/wire";
import { BYTE_SOURCES } from "./report-board.js";
import type { DropReason } from "./socket-hub.js";
import type { TrackerMachine } from "./tracker-machine.js";

/** What a tracker counts. */
export interface TrackerGauges {
  received(type: ToTracker["type"]): void;
  refused(code: ErrorCode): void;
  dropped(reason: DropReason): void;
  /** Reads the present state off, before each scrape and every few seconds. */
  refresh(machine: TrackerMachine, connections: number): void;
}

export function trackerGauges(metrics: Metrics): TrackerGauges {
  const messages = metrics.counter("ckmesh_tracker_messages_total", "Messages received.", ["type"]);
  const refused = metrics.counter("ckmesh_tracker_refused_total", "Connections refused, by reason.", [
    "code",
  ]);
  const dropped = metrics.counter("ckmesh_tracker_dropped_total", "Connections not taken or cut off.", [
    "reason",
  ]);
  const connections = metrics.gauge("ckmesh_tracker_connections", "Open connections.");
  const peers = metrics.gauge("ckmesh_tracker_peers", "Clients and origins that were let in.");
  const swarms = metrics.gauge("ckmesh_tracker_swarms", "Swarms, one for each version and site.");
  const reports = metrics.gauge(
    "ckmesh_tracker_reports",
    "Last reports kept, one for each client and image.",
  );
  const bytes = metrics.gauge(
    "ckmesh_tracker_reported_bytes",
    "Bytes over the reports that are kept, by where they came from.",
    ["source"],
  );
  // Counted here and handed on now and then: a labelled counter costs as much as reading a message.
  const received = new Map<ToTracker["type"], number>();
  return {
    received: (type) => received.set(type, (received.get(type) ?? 0) + 1),
    refused: (code) => refused.add(1, { code }),
    dropped: (reason) => dropped.add(1, { reason }),
    refresh(machine, open) {
      for (const [type, count] of received) messages.add(count, { type });
      received.clear();
      connections.set(open);
      peers.set(machine.peerCount);
      swarms.set(machine.swarmCount);
      reports.set(machine.reportBoard.size);
      const totals = machine.reportBoard.totals();
      for (const source of BYTE_SOURCES) bytes.set(totals[source], { source });
    },
  };
}
