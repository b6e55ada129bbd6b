import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Logger, silentLogger } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { expect, it } from "vitest";
import { HostTrim } from "../../src/trim/host-trim.js";

const DAY_MS = 24 * 3_600_000;

it("warns once of a folder that cannot be looked through", async () => {
  const dir = await mkdtemp(join(tmpdir(), "ckmesh-trim-"));
  const clock = new VirtualClock();
  const warnings: unknown[] = [];
  let looked: (() => void) | undefined;
  const logger: Logger = {
    ...silentLogger,
    info: () => looked?.(),
    warn: (...warning: readonly unknown[]) => {
      warnings.push(...warning);
    },
  };
  const folder = join(dir, "usb");
  const settings = { folders: [folder], off: [], waitMs: 0 };
  const first = new Promise<void>((resolve) => (looked = resolve));
  const trim = new HostTrim({ settings, store: { dir, background: {} }, clock, logger });
  await first;
  const second = new Promise<void>((resolve) => (looked = resolve));
  clock.advance(DAY_MS);
  await second;
  await trim.close();
  await rm(dir, { recursive: true });
  expect(warnings).toEqual([{ folder, reason: "ENOENT" }, "a folder of the host cannot be looked through"]);
});
