import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { addAccount } from "@ckmesh/origin";
import { describe, expect, it } from "vitest";
import { type MadePair, makePair } from "../../packages/origin/test/make-pair.js";
import {
  startTestOrigin,
  type TestOrigin,
  temporaryFolder,
} from "../../packages/origin/test/origin-fixture.js";
import { TEST_CERT } from "../../packages/origin/test/tls-fixture.js";
import { type Finished, jsonLines, runCkmesh } from "./run-ckmesh.js";

interface Admin {
  readonly origin: TestOrigin;
  readonly run: (...args: readonly string[]) => Promise<Finished>;
  /** The last JSON line. */
  readonly json: (...args: readonly string[]) => Promise<Readonly<Record<string, unknown>>>;
}

async function startAdmin(pairs: readonly MadePair[]): Promise<Admin> {
  const folder = temporaryFolder();
  const [accountsFile, pw, ca] = [join(folder, "accounts.yaml"), join(folder, "pw"), join(folder, "ca.pem")];
  await addAccount(accountsFile, "alice", "right");
  writeFileSync(pw, "right\n");
  writeFileSync(ca, TEST_CERT);
  const origin = await startTestOrigin({
    folder,
    tls: true,
    pairs,
    flags: { "authentication.accountsFile": accountsFile, "rights.change": ["alice"] },
  });
  if (pairs.length > 0) await origin.published("win7", pairs.length);
  const url = origin.origin.urls.find((each) => each.startsWith("https:")) ?? "";
  const run = async (...args: readonly string[]): Promise<Finished> =>
    runCkmesh(["image", ...args, "--to", url, "--user", "alice", "--password-file", pw, "--ca", ca]);
  return {
    origin,
    run,
    json: async (...args) => {
      const finished = await run(...args, "--json");
      const last = jsonLines(finished).at(-1);
      if (last === undefined) throw new Error(finished.stderr);
      return last;
    },
  };
}

const V1 = makePair({ name: "win7", version: 1 });
const V2 = makePair({ name: "win7", version: 2 });

/** Fields of a summary that docs/json-output.md names for a command. */
function documentedFields(command: string): readonly string[] {
  const text = readFileSync(new URL("../../docs/json-output.md", import.meta.url), "utf8");
  const row = text.split("\n").find((line) => line.split(" | ")[0]?.includes(`\`${command}\``) === true);
  const fields = (row?.split(" | ")[2] ?? "").replaceAll(/\([^)]*\)/g, "");
  return [...fields.matchAll(/`(\w+)`/g)].map((m) => m[1] ?? "").toSorted((a, b) => a.localeCompare(b));
}

describe("ckmesh image", () => {
  it("lists and shows for people, and as JSON lines with the documented fields", async () => {
    const { run, json } = await startAdmin([V1, V2]);
    const list = await run("list");
    expect([list.exitCode, list.stdout]).toEqual([0, expect.stringMatching(/win7 +2 +2 .*\n1 images\n$/s)]);
    expect((await run("show", "win7")).stdout).toMatch(/^2 .*newest$/m);
    expect((await run("show", "win7", "1")).stdout).toContain("signed by  nobody");
    for (const args of [["list"], ["show", "win7"]]) {
      const command = `image ${args[0]}`;
      const { type, ...fields } = await json(...args); // oxlint-disable-line no-await-in-loop
      expect(type).toBe("summary");
      expect(Object.keys(fields).toSorted((a, b) => a.localeCompare(b))).toEqual(documentedFields(command));
    }
  });

  it("asks before it deletes, and needs --yes where nobody can be asked", async () => {
    const { origin, run, json } = await startAdmin([V1, V2]);
    const refused = await run("delete", "win7", "1");
    expect([refused.exitCode, refused.stderr]).toEqual([2, expect.stringContaining("give --yes")]);
    expect(existsSync(join(origin.root, V1.packName))).toBe(true);
    expect(await json("delete", "win7", "1", "--yes")).toEqual({
      type: "summary",
      image: "win7",
      deleted: [{ version: 1, id: V1.idHex }],
      newest: 2,
    });
    expect(existsSync(join(origin.root, V1.packName))).toBe(false);
  });

  it("ends with the exit code of what the origin decided", async () => {
    const { origin, run, json } = await startAdmin([V1]);
    expect(await json("delete", "win7", "1", "--yes")).toMatchObject({
      type: "exit_error",
      code: "ERR_VERSION_IN_USE",
      exitCode: 1,
    });
    expect((await run("show", "win7", "3")).exitCode).toBe(4);
    expect((await run("show", "Nothing")).exitCode).toBe(4);
    const url = origin.origin.urls.find((each) => each.startsWith("http:")) ?? "";
    expect((await runCkmesh(["image", "list", "--to", url])).exitCode).toBe(3);
    expect((await run("delete", "win7", "x", "--yes")).exitCode).toBe(2);
    expect((await run("delete", "win7", "--yes", "--force")).exitCode).toBe(0);
  });
});
