import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ClientConfig, type ClientStatus, controlStore, type RunningClient } from "@ckmesh/client";
import { Fields, silentLogger } from "@ckmesh/core";
import { emptyControl, encodeControl, type Rollout } from "@ckmesh/image";
import { systemClock } from "@ckmesh/runtime";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makePair } from "../../packages/origin/test/make-pair.js";
import { eventually, startTestOrigin, type TestOrigin } from "../../packages/origin/test/origin-fixture.js";
import { Fixture, versionOf } from "./client-fixture.js";

const PAIRS = [1, 2].map((version) => makePair({ name: "Win11", version }));
const PILOT: Rollout = {
  version: 2,
  since: 5,
  rings: [{ groups: ["pilot"] }],
  approved: 0,
  isHeld: false,
  failureLimit: { percent: 10, minReports: 2 },
};

describe("a rollout at an origin of ours", () => {
  let fixture: Fixture;
  let origin: TestOrigin;
  beforeEach(async () => {
    fixture = await Fixture.create();
    origin = await startTestOrigin({ tls: true, pairs: PAIRS });
    await origin.published("Win11", 2);
    await place(5, [PILOT]);
  });
  afterEach(() => fixture.close());

  async function place(serial: number, rollouts: readonly Rollout[]): Promise<void> {
    const record = { ...emptyControl("Win11"), serial, createdAt: 1_700_000_000, rollouts };
    const bytes = encodeControl(record, []);
    writeFileSync(join(origin.root, "Win11.control.index"), bytes);
    await eventually(async () => (await origin.get("/MEDVImages/Win11.control.index")).body.equals(bytes));
  }

  function configOf(groups: readonly string[], more: Partial<ClientConfig> = {}): Partial<ClientConfig> {
    const url = origin.origin.urls.find((each) => each.startsWith("https:")) ?? "";
    return { origin: url, ca: join(origin.folder, "cert.pem"), groups: [...groups], ...more };
  }

  async function once(store: string, groups: readonly string[]): Promise<ClientStatus> {
    return fixture.once(store, configOf(groups));
  }

  async function outcomes(): Promise<unknown> {
    const parsed: unknown = JSON.parse((await origin.get("/ckmesh/api/status")).body.toString());
    const [rollout] = new Fields(parsed, "status").list("rollouts", 10);
    return rollout;
  }

  async function rollBack(client: RunningClient, store: string): Promise<void> {
    const deps = { logger: silentLogger, clock: systemClock };
    await controlStore(fixture.store(store), { command: "rollback", image: "Win11" }, deps);
    // What waits to be told goes out with the next check.
    client.check();
  }

  it("hears how it went, stops after too many failures, and goes on with the next record", async () => {
    expect((await once("office", [])).images[0]?.active).toBe(1);
    expect((await once("a", ["pilot"])).images[0]?.active).toBe(2);
    expect(await outcomes()).toMatchObject({
      version: 2,
      outcomes: { active: 1, failed: 0 },
      heldSince: null,
    });
    await once("b", []);
    const client = await fixture.client("b", configOf(["pilot"], { once: false }));
    client.check();
    await eventually(() => client.status().images[0]?.active === 2);
    await rollBack(client, "b");
    await eventually(async () => {
      const parsed = new Fields(await outcomes(), "rollout");
      return parsed.map("outcomes").int("failed", 0, 10) === 1;
    });
    expect(await outcomes()).toMatchObject({
      outcomes: { active: 1, failed: 1, codes: { ROLLED_BACK: 1 } },
      heldSince: expect.any(String),
    });
    const late = await once("c", ["pilot"]);
    expect([late.images[0]?.active, versionOf(late, 2).clearance]).toEqual([1, { type: "held" }]);
    expect(late.images[0]?.control).toEqual({ serial: 5, held: [2] });
    await place(6, [{ ...PILOT, since: 6 }]);
    expect((await once("c", ["pilot"])).images[0]?.active).toBe(2);
  });
});
