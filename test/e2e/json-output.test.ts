import { randomFillSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MIB } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { ALICE, writeAccounts } from "../testbed/local-accounts.js";
import { OriginUnderTest } from "../testbed/origin-under-test.js";
import { type Finished, jsonLines, runCkmesh } from "./run-ckmesh.js";
import { useTempFolder } from "./temp-folder.js";

const tempFolder = useTempFolder();

interface Documented {
  readonly required: readonly string[];
  readonly optional: readonly string[];
}

/** Fields of a line of a command, from the table of docs/json-output.md. */
function documented(command: string, line: string): Documented {
  const text = readFileSync(new URL("../../docs/json-output.md", import.meta.url), "utf8");
  for (const row of text.matchAll(/^\| (`.*?) \| (.*?) \| ?(.*?) ?\|$/gm)) {
    const [commands, lines] = [row[1], row[2]].map((cell) =>
      [...(cell ?? "").matchAll(/`([^`]+)`/g)].map((m) => m[1]),
    );
    if (commands?.includes(command) !== true || lines?.includes(line) !== true) continue;
    const fields = (row[3] ?? "")
      .replaceAll(/\([^)]*\)/g, "")
      .split(",")
      .map((field) => field.trim())
      .filter((field) => field !== "");
    return {
      required: fields.filter((field) => !field.endsWith("?")).map(plain),
      optional: fields.filter((field) => field.endsWith("?")).map(plain),
    };
  }
  throw new Error(`docs/json-output.md has no row for ${command} ${line}`);
}

const STATUS_FIELDS = ["phase", "bytesDone", "bytesTotal", "bytesPerSec", "etaSeconds"];

/** What is wrong with a line: documented fields that are missing, others that are there. */
function problemsOf(command: string, line: Readonly<Record<string, unknown>>): readonly string[] {
  const name = line["type"] === "step" ? String(line["event"]) : String(line["type"]);
  const keys = Object.keys(line).filter((key) => key !== "type" && key !== "event");
  const { required, optional } =
    name === "status"
      ? { required: STATUS_FIELDS, optional: ["images", "bytesSent"] }
      : documented(command, name);
  return [
    ...required.filter((key) => !keys.includes(key)).map((key) => `${command} ${name}: no ${key}`),
    ...keys
      .filter((key) => !required.includes(key) && !optional.includes(key))
      .map((key) => `${command} ${name}: ${key} is not documented`),
  ];
}

/** The run ended well and every line has the documented fields, no more and no less. */
function expectDocumented(command: string, run: Finished): void {
  expect([run.exitCode, run.stderr]).toEqual([0, expect.any(String)]);
  const lines = jsonLines(run);
  expect(lines.at(-1)?.["type"]).toBe("summary");
  expect(lines.flatMap((line) => problemsOf(command, line))).toEqual([]);
}

function plain(field: string): string {
  return field.replaceAll(/[`?\s]/g, "");
}

describe("JSON lines", () => {
  it("of the commands on files are those of docs/json-output.md", async () => {
    const folder = tempFolder();
    const [disk, key, pw, accounts] = ["disk", "key", "pw", "accounts.yaml"].map((name) =>
      join(folder, name),
    );
    if (disk === undefined || key === undefined || pw === undefined || accounts === undefined) return;
    writeFileSync(disk, randomFillSync(new Uint8Array(3 * MIB)));
    writeFileSync(pw, "secret\n");
    const index = join(folder, "A_1.ckm.index");
    const runs: readonly (readonly [string, readonly string[]])[] = [
      ["keygen", [key]],
      ["pack", [disk, "--name", "A", "--out", folder, "--sign", key]],
      ["inspect", [index]],
      ["verify", [index]],
      ["unpack", [index, join(folder, "copy")]],
      ["pack", [disk, "--name", "A", "--out", folder, "--previous", folder]],
      ["delta", [index, join(folder, "A_2.ckm.index"), "--sign", key]],
      ["inspect", [join(folder, "A_2.from_1.ckm.index")]],
      ["verify", [join(folder, "A_2.from_1.ckm.index")]],
      ["origin account add", ["bob", "--password-file", pw, "--accounts", accounts]],
    ];
    for (const [command, args] of runs) {
      expectDocumented(command, await runCkmesh([...command.split(" "), ...args, "--json"]));
    }
    expect(readFileSync(join(folder, "copy")).equals(readFileSync(disk))).toBe(true);
  });

  it("of an upload are those of docs/json-output.md", async ({ signal }) => {
    const folder = tempFolder();
    const [disk, pw] = ["disk", "pw"].map((name) => join(folder, name));
    if (disk === undefined || pw === undefined) return;
    writeFileSync(disk, randomFillSync(new Uint8Array(3 * MIB)));
    writeFileSync(pw, `${ALICE.password}\n`);
    await runCkmesh(["pack", disk, "--name", "A", "--out", folder]);
    const authentication = { accountsFile: await writeAccounts(folder), windows: { enabled: true } };
    const settings = { bits: { BITSUploadEnabled: true } };
    const rights = { change: [ALICE.account] };
    const origin = await OriginUnderTest.start({ folder, authentication, settings, rights }, signal);
    try {
      const to = ["--to", `${origin.httpUrl}/MEDVImages`, "--ntlm", "--user", ALICE.account];
      const args = ["upload", join(folder, "A_1.ckm.index"), ...to, "--password-file", pw, "--json"];
      const run = await runCkmesh(args);
      expectDocumented("upload", run);
      expect(jsonLines(run).at(-1)).toMatchObject({ published: true });
    } finally {
      await origin.stop();
    }
  });

  it("with --quiet are only the last one", async () => {
    const folder = tempFolder();
    const disk = join(folder, "disk");
    writeFileSync(disk, randomFillSync(new Uint8Array(MIB)));
    const run = await runCkmesh(["pack", disk, "--name", "A", "--out", folder, "--json", "--quiet"]);
    expect(jsonLines(run).map((line) => line["type"])).toEqual(["summary"]);
    const failed = await runCkmesh(["verify", join(folder, "B_1.ckm.index"), "--json", "--quiet"]);
    expect(jsonLines(failed)).toMatchObject([
      { type: "exit_error", code: "ERR_FILE_NOT_FOUND", exitCode: 4 },
    ]);
  });

  it("of a client with a stock folder of the origin are those of docs/json-output.md", async () => {
    const folder = tempFolder();
    const [disk, root, store] = ["disk", "images", "store"].map((name) => join(folder, name));
    if (disk === undefined || root === undefined || store === undefined) return;
    writeFileSync(disk, randomFillSync(new Uint8Array(3 * MIB)));
    await runCkmesh(["pack", disk, "--name", "A", "--out", root]);
    let client: Promise<Finished> | undefined;
    let doctor: Promise<Finished> | undefined;
    const origin = await runCkmesh(
      ["origin", "--root", root, "--listen", "127.0.0.1:0", "--anonymous", "--with-tracker", "--json"],
      {
        onStdout: (text, kill) => {
          const url = /"urls":\["([^"]+)"/.exec(text)?.[1];
          if (url === undefined || !text.includes('"event":"published"') || client !== undefined) return;
          const source = ["--origin", url, "--image", "A", "--once"];
          const own = ["--store", store, "--listen", "127.0.0.1:0"];
          const running = runCkmesh(["client", "run", ...source, ...own, "--json"]);
          const examining = runCkmesh(["doctor", url, "--json"]);
          [client, doctor] = [running, examining];
          Promise.allSettled([running, examining]).then(
            () => kill("SIGTERM"),
            () => {},
          );
        },
      },
    );
    expectDocumented("origin", origin);
    const finished = await client;
    expect(finished).toBeDefined();
    if (finished === undefined) return;
    expectDocumented("client run", finished);
    const examined = await doctor;
    expect(examined).toBeDefined();
    if (examined !== undefined) expectDocumented("doctor", examined);
    expectDocumented("client status", await runCkmesh(["client", "status", "--store", store, "--json"]));
    const exported = await runCkmesh(["client", "export", "A", folder, "--store", store, "--json"]);
    expectDocumented("client export", exported);
    const into = ["--store", join(folder, "other"), "--json"];
    expectDocumented("client import", await runCkmesh(["client", "import", folder, ...into]));
    expect(readFileSync(join(folder, "A_1.ckm")).equals(readFileSync(join(root, "A_1.ckm")))).toBe(true);
  });
});
