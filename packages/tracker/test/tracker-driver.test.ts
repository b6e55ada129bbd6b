import { noMetrics, seededRandom, silentLogger } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { parseIp } from "@ckmesh/wire";
import { expect, it } from "vitest";
import { TrackerDriver } from "../src/tracker-driver.js";
import { TrackerMachine } from "../src/tracker-machine.js";
import { helloOf, NONCE, OPEN, SWARM } from "./tracker-rig.js";

it("keeps no list of changes when there is no snapshot to write them to", async () => {
  const clock = new VirtualClock();
  const machine = new TrackerMachine(OPEN, seededRandom(1), clock.now());
  const limits = { maxConnections: 10, maxConnectionsPerAddress: 10 };
  const driver = new TrackerDriver({
    machine,
    store: undefined,
    logger: silentLogger,
    clock,
    metrics: noMetrics,
    ...limits,
  });
  await driver.start();
  const observed = parseIp("192.168.0.1");
  if (observed === undefined) throw new Error("unreachable: not an address");
  const at = { connection: 1, now: clock.now(), wall: clock.wall() };
  driver.step({ type: "opened", observed, nonce: NONCE, ...at });
  driver.step({ type: "message", message: helloOf(1), ...at });
  driver.step({ type: "message", message: { type: "announce", swarm: SWARM, have: 0, rows: 1 }, ...at });
  driver.step({ type: "message", message: { type: "leave", swarm: SWARM }, ...at });
  clock.advance(60_000);
  expect(machine.takeChanged()).toEqual([]);
  await driver.close();
});
