import { spawn, spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { copyFileSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Fields, MIB } from "@ckmesh/core";
import { decodeControl, PACK_HEADER_BYTES } from "@ckmesh/image";
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
  readonly folder: string;
  /** Where the origin is, and who one is there. */
  readonly args: readonly string[];
  readonly run: (...args: readonly string[]) => Promise<Finished>;
  /** The last JSON line. */
  readonly json: (...args: readonly string[]) => Promise<Readonly<Record<string, unknown>>>;
}

async function startAdmin(
  pairs: readonly MadePair[],
  flags: Readonly<Record<string, unknown>> = {},
): Promise<Admin> {
  const folder = temporaryFolder();
  const [accountsFile, pw, ca] = [join(folder, "accounts.yaml"), join(folder, "pw"), join(folder, "ca.pem")];
  await addAccount(accountsFile, "alice", "right");
  writeFileSync(pw, "right\n");
  writeFileSync(ca, TEST_CERT);
  const origin = await startTestOrigin({
    folder,
    tls: true,
    pairs,
    flags: { "authentication.accountsFile": accountsFile, "rights.change": ["alice"], ...flags },
  });
  if (pairs.length > 0) await origin.published("win7", pairs.length);
  const url = origin.origin.urls.find((each) => each.startsWith("https:")) ?? "";
  const link = ["--to", url, "--user", "alice", "--password-file", pw, "--ca", ca];
  const run = async (...args: readonly string[]): Promise<Finished> => runCkmesh(["image", ...args, ...link]);
  return {
    origin,
    folder,
    args: link,
    run,
    json: async (...args) => {
      const finished = await run(...args, "--json");
      const last = jsonLines(finished).at(-1);
      if (last === undefined) throw new Error(finished.stderr);
      return last;
    },
  };
}

const MAIN = fileURLToPath(new URL("../../packages/cli/bundle/bin/ckmesh.js", import.meta.url));
// A terminal is made by script(1) of util-linux: Node has none to give.
const canMakeTerminal = spawnSync("script", ["-qec", "true", "/dev/null"]).status === 0;
if (!canMakeTerminal)
  process.stderr.write("skipped: image delete on a terminal (no script(1) here: apt-get install bsdutils)\n");
const V1 = makePair({ name: "win7", version: 1 });
const V2 = makePair({ name: "win7", version: 2 });

/** Fields of a summary that docs/json-output.md names for a command; those with `?` only where they are wanted. */
function documentedFields(command: string, wantsOptional = true): readonly string[] {
  const text = readFileSync(new URL("../../docs/json-output.md", import.meta.url), "utf8");
  const row = text.split("\n").find((line) => line.split(" | ")[0]?.includes(`\`${command}\``) === true);
  const fields = (row?.split(" | ")[2] ?? "").replaceAll(/\([^)]*\)/g, "");
  const found = wantsOptional ? /`(\w+)`/g : /`(\w+)`(?!\?)/g;
  return [...fields.matchAll(found)].map((m) => m[1] ?? "").toSorted((a, b) => a.localeCompare(b));
}

describe("ckmesh image", () => {
  it("lists and shows for people, and as JSON lines with the documented fields", async () => {
    const { run, json } = await startAdmin([V1, V2]);
    const list = await run("list");
    expect([list.exitCode, list.stdout]).toEqual([0, expect.stringMatching(/win7 +2 +2 .*\n1 image\n$/s)]);
    expect((await run("show", "win7")).stdout).toMatch(/^2 .*newest$/m);
    expect((await run("show", "win7", "1")).stdout).toContain("signed by  nobody");
    for (const args of [["list"], ["show", "win7"]]) {
      const command = `image ${args[0]}`;
      const { type, ...fields } = await json(...args); // oxlint-disable-line no-await-in-loop
      expect(type).toBe("summary");
      expect(Object.keys(fields)).toEqual(expect.arrayContaining([...documentedFields(command, false)]));
      expect(documentedFields(command)).toEqual(expect.arrayContaining(Object.keys(fields)));
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

  it("gives orders, one on top of the other, signed by whoever gives them", async () => {
    const { origin, run, json, folder } = await startAdmin([V1, V2]);
    const key = join(folder, "publisher.key");
    await runCkmesh(["keygen", key]);
    const sign = ["--sign", key];
    const withdrawn = await json("withdraw", "WIN7", "2", "--reason", "no network", "--yes", ...sign);
    expect(withdrawn).toMatchObject({ image: "win7", version: 2, order: "withdraw", isSigned: true });
    expect(withdrawn["control"]).toMatchObject({
      withdrawn: [{ version: 2, reason: "no network", backTo: 1 }],
    });
    expect(Object.keys(withdrawn).toSorted((a, b) => a.localeCompare(b))).toEqual(
      [...documentedFields("image withdraw"), "type"].toSorted((a, b) => a.localeCompare(b)),
    );
    await origin.published("win7", 1);
    const rings = ["--ring", "pilots", "--ring", "25%,oslo", "--failure-limit", "5%", "--min-reports", "3"];
    await run("ring", "win7", "3", ...rings, ...sign);
    await run("approve", "win7", "3", ...sign);
    await run(
      "activate",
      "win7",
      "3",
      "--at",
      "2030-01-02T06:00Z",
      "--prefetch-from",
      "2030-01-01T19:00Z",
      ...sign,
    );
    await run("hold", "win7", "3", ...sign);
    const show = await run("show", "win7");
    expect(show.stdout).toMatch(/^2 .* withdrawn, back to 1 \(no network\)$/m);
    expect(show.stdout).toMatch(
      /^3 .*to come +held, ring 2 of 2: pilots and 25% \+ oslo, .*above 5% failures of 3 reports, .*2030-01-01 19:00 UTC, active from 2030-01-02 06:00 UTC$/m,
    );
    await run("release", "win7", "3", ...sign);
    await run("activate", "win7", "3", "--now", ...sign);
    await run("approve", "win7", "3", "--all", ...sign);
    expect((await run("restore", "win7", "2", ...sign)).stdout).toBe("win7 version 2: for everybody\n");
    await origin.published("win7", 2);
    const control = (await json("show", "win7"))["control"];
    expect(control).toMatchObject({ withdrawn: [], rollouts: [{ version: 3, approved: 2, isHeld: false }] });
    const audit = readFileSync(join(origin.state, "audit.ndjson"), "utf8");
    expect(audit.match(/"action":"control"[^\n]*"user":"alice"/g)).toHaveLength(9);
  });

  it("refuses orders that make no sense, and records that are not signed by whom they should be", async () => {
    const { run, folder } = await startAdmin([V1, V2]);
    const key = join(folder, "publisher.key");
    await runCkmesh(["keygen", key]);
    await runCkmesh(["keygen", join(folder, "other.key")]);
    const exit = async (...args: readonly string[]): Promise<readonly unknown[]> => {
      const { exitCode, stderr } = await run(...args);
      return [exitCode, /\((ERR_\w+)\)$/m.exec(stderr)?.[1]];
    };
    expect(await exit("withdraw", "win7", "3", "--yes")).toEqual([4, "ERR_IMAGE_NOT_FOUND"]);
    expect(await exit("withdraw", "win7", "2")).toEqual([2, "ERR_USAGE"]);
    expect(await exit("restore", "win7", "2")).toEqual([2, "ERR_USAGE"]);
    expect(await exit("activate", "win7", "3")).toEqual([2, "ERR_USAGE"]);
    expect(await exit("activate", "win7", "3", "--at", "tomorrow")).toEqual([2, "ERR_USAGE"]);
    expect(await exit("ring", "win7", "3", "--ring", "200%")).toEqual([2, "ERR_USAGE"]);
    expect(await exit("hold", "win7", "2", "--sign", key)).toEqual([0, undefined]);
    expect(await exit("release", "win7", "2")).toEqual([2, "ERR_USAGE"]);
    expect(await exit("release", "win7", "2", "--sign", join(folder, "other.key"))).toEqual([
      6,
      "ERR_SIGNATURE_INVALID",
    ]);
  });

  it("publishes old content as the next version: next to nothing is sent, to the origin and to a client", async () => {
    const folder = temporaryFolder();
    const key = join(folder, "key");
    const disk = join(folder, "disk");
    const packed = join(folder, "packed");
    const store = join(folder, "store");
    const { origin, run, json, args } = await startAdmin([], { "bits.BITSUploadEnabled": true });
    const update = async (): Promise<Fields> => {
      const client = ["client", "run", "--origin", ...args.slice(1), "--store", store, "--once", "--json"];
      return newestOf(jsonLines(await runCkmesh([...client, "--listen", "127.0.0.1:0"])).at(-1));
    };
    await runCkmesh(["keygen", key]);
    for (const version of [1, 2]) {
      writeFileSync(disk, randomFillSync(new Uint8Array(6 * MIB)));
      if (version === 1) copyFileSync(disk, `${disk}.old`);
      const previous = version === 1 ? [] : ["--previous", packed];
      await runCkmesh(["pack", disk, "--name", "win7", "--out", packed, "--sign", key, ...previous]);
      for (const file of readdirSync(packed)) copyFileSync(join(packed, file), join(origin.root, file));
      await origin.published("win7", version);
      await update();
    }
    expect((await run("rollback", "win7", "--yes")).stderr).toContain("--sign");
    const rolledBack = await json("rollback", "win7", "--yes", "--sign", key);
    const indexBytes = statSync(join(origin.root, "win7_3.ckm.index")).size;
    expect(rolledBack).toMatchObject({ image: "win7", version: 3, from: 1, isSigned: true });
    expect(rolledBack["bytesSent"]).toBe(indexBytes + PACK_HEADER_BYTES);
    await origin.published("win7", 3);
    expect((await json("show", "win7", "3"))["keptFrames"]).toBe((await json("show", "win7", "1"))["frames"]);
    const updated = await update();
    expect([updated.int("version", 1, 9), updated.string("state", 20)]).toEqual([3, "active"]);
    // Not even the index: its records of frames are those of version 1.
    expect(updated.map("bytes").int("origin", 0, MIB)).toBeLessThan(indexBytes);
    const copy = join(folder, "copy");
    await runCkmesh(["unpack", join(store, "images", "win7", "win7_3.ckm.index"), copy]);
    expect(readFileSync(copy).equals(readFileSync(`${disk}.old`))).toBe(true);
  });

  it("deletes a version under a client that fetches it: the client goes on with the newest", async () => {
    const folder = temporaryFolder();
    const [disk, packed] = [join(folder, "disk"), join(folder, "packed")];
    // At 8 Mbit/s there is time to delete the first one; the second one need not take as long.
    for (const [mib, ...previous] of [[8], [2, "--previous", packed]] as const) {
      writeFileSync(disk, randomFillSync(new Uint8Array(mib * MIB)));
      await runCkmesh(["pack", disk, "--name", "win7", "--out", packed, ...previous]);
    }
    const { origin, run, args } = await startAdmin([]);
    const publish = async (version: number): Promise<void> => {
      for (const suffix of ["ckm", "ckm.index"]) {
        const file = `win7_${version}.${suffix}`;
        copyFileSync(join(packed, file), join(origin.root, file));
      }
      await origin.published("win7", version);
    };
    await publish(1);
    const store = ["--store", join(folder, "store"), "--listen", "127.0.0.1:0", "--wan-budget", "8M"];
    let deleting: Promise<Finished> | undefined;
    let isStopped = false;
    const client = await runCkmesh(["client", "run", "--origin", ...args.slice(1), ...store, "--json"], {
      onStdout: (text, kill) => {
        if (deleting === undefined && /"bytesDone":[1-9]\d{5}/.test(text)) {
          deleting = publish(2).then(() => run("delete", "win7", "1", "--yes"));
        }
        if (isStopped || !/"version":2,"state":"active"/.test(text)) return;
        isStopped = true;
        kill("SIGTERM");
      },
    });
    expect([client.exitCode, (await deleting)?.exitCode]).toEqual([0, 0]);
    expect(newestOf(jsonLines(client).at(-1)).int("version", 1, 9)).toBe(2);
    expect(client.stdout).not.toMatch(/"version":1,"state":"(?:verified|active)"/);
  });

  it("takes a bad version back from a running client, until it is restored", async () => {
    const { origin, folder, run, args } = await startAdmin([V1]);
    const store = ["--store", join(folder, "store")];
    /** What happens one after the other: what the client said last, and what is done then. */
    const plan: (readonly [RegExp, () => Promise<unknown>])[] = [
      [/"version":1,[^\n]*"state":"active"/, async () => dropAndPublish(origin, V2)],
      [/"version":2,[^\n]*"state":"active"/, () => run("withdraw", "win7", "2", "--yes")],
      [/"version":1,[^\n]*"state":"active"/, () => run("restore", "win7", "2")],
      [/"version":2,[^\n]*"state":"active"/, async () => {}],
    ];
    let [seen, written] = [0, ""];
    let isActing = false;
    const goOn = (kill: (signal: NodeJS.Signals) => void): void => {
      const [awaited, act] = plan[0] ?? [];
      if (awaited === undefined || act === undefined || isActing) return;
      const steps = written.slice(seen).split("\n");
      if (!steps.some((line) => line.includes('"event":"state"') && awaited.test(line))) return;
      seen = written.length;
      plan.shift();
      if (plan.length === 0) return kill("SIGTERM");
      isActing = true;
      void act()
        .then(() => runCkmesh(["client", "check", ...store]))
        .finally(() => {
          isActing = false;
          goOn(kill); // It may have happened meanwhile.
        });
    };
    const client = await runCkmesh(
      ["client", "run", "--origin", ...args.slice(1), ...store, "--listen", "127.0.0.1:0", "--json"],
      {
        onStdout: (text, kill) => {
          written = text;
          goOn(kill);
        },
      },
    );
    expect([client.exitCode, plan]).toEqual([0, []]);
    expect(client.stdout).toMatch(/"active":2,/);
  });

  it("writes a record into the folder of a stock web server", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, V1.indexName), V1.index);
    writeFileSync(join(folder, V2.indexName), V2.index);
    const order = ["image", "withdraw", "win7", "2", "--yes", "--json"];
    const run = await runCkmesh([...order, "--folder", folder]);
    expect(jsonLines(run)).toMatchObject([
      { type: "summary", control: { withdrawn: [{ version: 2, backTo: 1 }] } },
    ]);
    expect(decodeControl(readFileSync(join(folder, "win7.control.index"))).record.withdrawn).toHaveLength(1);
    expect((await runCkmesh(order)).exitCode).toBe(2);
    expect((await runCkmesh([...order, "--folder", join(folder, "none")])).exitCode).toBe(4);
  });
});

async function dropAndPublish(origin: TestOrigin, pair: MadePair): Promise<void> {
  origin.drop(pair);
  await origin.published("win7", 2);
}

/** The newest version of the only image in a client's summary. */
function newestOf(summary: Readonly<Record<string, unknown>> | undefined): Fields {
  const [image] = new Fields(summary, "summary").list("images", 1);
  const [newest] = new Fields(image, "image").list("versions", 10);
  return new Fields(newest, "version");
}

describe.skipIf(!canMakeTerminal)("ckmesh image on a terminal", () => {
  it.each([
    ["n", 1, true],
    ["", 1, true],
    ["yes", 0, false],
  ])("that is answered %j ends with %i", async (answer, exitCode, isKept) => {
    const { origin, args } = await startAdmin([V1, V2]);
    const words = [process.execPath, MAIN, "image", "delete", "win7", "1", ...args];
    const child = spawn("script", ["-qec", words.map((word) => `'${word}'`).join(" "), "/dev/null"]);
    let seen = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const isAsked = !seen.includes("[y/N]") && `${seen}${text}`.includes("[y/N]");
      seen += text;
      if (isAsked) child.stdin.write(`${answer}\n`);
    });
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(exitCode);
    expect(seen).toContain("Delete version 1 of win7 (");
    expect(existsSync(join(origin.root, V1.packName))).toBe(isKept);
  });
});
