import { spawn } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { EXIT } from "@ckmesh/cli";
import { Fields } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { jsonLines, runCkmesh } from "./run-ckmesh.js";
import { useTempFolder } from "./temp-folder.js";

const tempFolder = useTempFolder();

/** Command lines of all processes that name a folder. */
async function processesWith(folder: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let out = "";
    const ps = spawn("ps", ["-eo", "args"], { stdio: ["ignore", "pipe", "ignore"] });
    ps.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    ps.once("error", reject);
    ps.once("close", () =>
      resolve(
        out
          .split("\n")
          .filter((line) => line.includes(folder))
          .join("\n"),
      ),
    );
  });
}

/** A folder that the demonstration takes for the system's temporary one. */
function scratch(): string {
  const folder = join(tempFolder(), "tmp");
  mkdirSync(folder);
  return folder;
}

describe("the demonstration", () => {
  it("brings every client to the first version with about one copy per site, to the second by a delta, and leaves nothing", async ({
    signal,
  }) => {
    const folder = scratch();
    const run = await runCkmesh(["demo", "--mib", "64", "--json"], { env: { TMPDIR: folder }, signal });
    expect([run.exitCode, run.stderr]).toEqual([EXIT.done, ""]);
    const summary = new Fields(jsonLines(run).at(-1), "summary");
    const rounds = summary.list("rounds", 2).map((round) => new Fields(round, "round"));
    expect(rounds).toHaveLength(2);
    const sites = new Map<string, number>();
    for (const item of rounds[0]?.list("clients", 4) ?? []) {
      const client = new Fields(item, "client");
      const site = client.string("site", 40);
      sites.set(site, (sites.get(site) ?? 0) + client.map("bytes").int("origin", 0, 1e9));
    }
    expect([...sites.keys()]).toEqual(["north", "south"]);
    const published = rounds[0]?.int("publishedBytes", 1, 1e9) ?? 0;
    // Two clients that do not share would need 2.0; both start at the same moment and first have to meet.
    for (const bytes of sites.values()) expect(bytes / published).toBeLessThan(1.6);
    const yielded = (rounds[1]?.list("clients", 4) ?? []).map((client) =>
      new Fields(client, "client").map("bytes").int("delta", 0, 1e9),
    );
    expect(rounds[1]?.int("deltaBytes", 1, 1e9)).toBeGreaterThan(0);
    expect(Math.max(...yielded)).toBeGreaterThan(0);
    expect(readdirSync(folder)).toEqual([]);
    expect(await processesWith(folder)).toBe("");
  });

  it.each(["SIGINT", "SIGTERM"] as const)("that %s stops in the middle leaves nothing", async (signal) => {
    const folder = scratch();
    let isSent = false;
    const run = await runCkmesh(["demo", "--mib", "64", "--json"], {
      env: { TMPDIR: folder },
      onStdout: (text, kill) => {
        if (!isSent && text.includes('"event":"clients"')) {
          isSent = true;
          kill(signal);
        }
      },
    });
    expect(run.exitCode).toBe(signal === "SIGINT" ? EXIT.interrupted : EXIT.terminated);
    expect(jsonLines(run).at(-1)).toMatchObject({ type: "exit_error", code: "ERR_ABORTED" });
    expect(readdirSync(folder)).toEqual([]);
    expect(await processesWith(folder)).toBe("");
  });
});
