import { readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { addAccount } from "@ckmesh/origin";
import { createLogger } from "@ckmesh/runtime";
import { VirtualClock } from "@ckmesh/testkit";
import { expect, it } from "vitest";
import { AccountWatch } from "../../src/access/account-watch.js";
import { temporaryFolder } from "../origin-fixture.js";

it("accounts that could not be read once are read as soon as they can be, though the file looks the same", async () => {
  const file = join(temporaryFolder(), "accounts.yaml");
  await addAccount(file, "alice", "right");
  const log: string[] = [];
  const logger = createLogger({ level: "info", destination: { write: (line) => log.push(line) } });
  const seen: number[] = [];
  const onChange = (users: { readonly accounts: { readonly count: number } }): void => {
    seen.push(users.accounts.count);
  };
  const { watch } = await AccountWatch.start({ file, clock: new VirtualClock(), logger, onChange });
  await addAccount(file, "bob", "right");
  const right = readFileSync(file, "utf8");
  /** In place, of the same size and time: what `stat` says stays the same. */
  const write = (text: string): void => {
    writeFileSync(file, text);
    utimesSync(file, 1_800_000_000, 1_800_000_000);
  };
  write(right.replace("accounts:", "accounts;"));
  await watch.look();
  await watch.look();
  expect(seen).toEqual([]);
  expect(log.filter((line) => line.includes("cannot be read"))).toHaveLength(1);
  write(right);
  await watch.look();
  expect(seen).toEqual([2]);
});
