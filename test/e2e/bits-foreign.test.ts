import { randomFillSync } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { KIB, MIB } from "@ckmesh/core";
import { packImage } from "@ckmesh/store";
import { afterEach, describe, expect, it } from "vitest";
import { curlUpload } from "../testbed/bits-curl.js";
import { type ForeignBitsServer, startForeignBitsServer } from "../testbed/bits-foreign-server.js";
import { BitsPython } from "../testbed/bits-python.js";
import { whyNot } from "../testbed/foreign.js";
import { jsonLines, runCkmesh } from "./run-ckmesh.js";
import { useTempFolder } from "./temp-folder.js";

/* The foreign clients against the foreign server: what the other tests lean on stands by itself. Ours against it, too. */
const reason = whyNot("foreign BITS programs", ["python", "curl"]);
const tempFolder = useTempFolder();
const FRAGMENT_BYTES = 64 * KIB;
const file = randomFillSync(new Uint8Array(MIB + 1));
let server: ForeignBitsServer | undefined;

afterEach(async () => {
  await server?.stop();
  server = undefined;
});

async function start(flags: readonly string[]): Promise<{ url: string; source: string; target: string }> {
  const folder = tempFolder();
  const served = join(folder, "served");
  mkdirSync(served);
  const source = join(folder, "source");
  writeFileSync(source, file);
  server = await startForeignBitsServer(served, flags);
  return { url: `${server.url}/images/a_1.ckm`, source, target: join(served, "a_1.ckm") };
}

const countOf = (packet: string, status: number): number =>
  server?.packets.filter((seen) => seen.packet === packet && seen.status === status).length ?? 0;

describe.skipIf(reason !== undefined)("Python's client", () => {
  it.each([
    { fault: "none", flags: [] },
    { fault: "413 for long fragments", flags: ["--max-fragment", "20000"] },
    { fault: "a session that is lost", flags: ["--forget-after", "3"] },
    { fault: "two Close-Sessions that fail", flags: ["--fail-closes", "2"] },
    { fault: "a connection that breaks", flags: ["--drop-after", "4"] },
  ])("uploads every byte in spite of: $fault", async ({ flags }) => {
    const { url, source, target } = await start(flags);
    await new BitsPython({ url, file: source, fragmentBytes: FRAGMENT_BYTES, patienceSeconds: 20 }).done();
    expect(readFileSync(target).equals(file)).toBe(true);
    expect(countOf("close-session", 200)).toBe(1);
  });

  it("goes on with its session where it was killed", async () => {
    const { url, source, target } = await start([]);
    const stateFile = `${source}.state`;
    const options = { url, file: source, fragmentBytes: FRAGMENT_BYTES, stateFile };
    const first = new BitsPython(options);
    first.onFact(({ received = 0 }) => {
      if (received >= 5 * FRAGMENT_BYTES) first.kill();
    });
    expect((await first.end()).done).toBeUndefined();
    await new BitsPython(options).done();
    expect(readFileSync(target).equals(file)).toBe(true);
    expect(countOf("create-session", 200)).toBe(1);
  });

  it("gives up where the file exists", async () => {
    const { url, source, target } = await start([]);
    writeFileSync(target, "there");
    const last = await new BitsPython({ url, file: source }).end();
    expect(last).toMatchObject({ refused: "Create-Session", status: 403, hresult: "0x80070005" });
    expect(readFileSync(target, "utf8")).toBe("there");
  });
});

describe.skipIf(reason !== undefined)("ckmesh upload", () => {
  const NAMES = ["Foreign_3.ckm", "Foreign_3.ckm.index"] as const;

  /** Starts the server and packs a version to be sent there. */
  async function startWithPair(
    flags: readonly string[],
  ): Promise<{ args: string[]; isThere: () => boolean }> {
    const { url, target } = await start(flags);
    const served = dirname(target);
    const outDir = dirname(served);
    const diskPath = join(outDir, "disk.img");
    writeFileSync(diskPath, file);
    await packImage({ diskPath, name: "Foreign", outDir, level: 1, version: 3 });
    const isSame = (name: string, source: string): boolean =>
      existsSync(join(served, name)) &&
      readFileSync(join(served, name)).equals(readFileSync(join(outDir, source)));
    return {
      args: ["upload", join(outDir, NAMES[1]), "--to", dirname(url)],
      isThere: () => NAMES.every((name) => isSame(name, name)) && isSame("Foreign.ckm.index", NAMES[1]),
    };
  }

  it.each([
    { fault: "none", flags: [] },
    { fault: "413 for long fragments", flags: ["--max-fragment", "20000"] },
    { fault: "a session that is lost", flags: ["--forget-after", "1"] },
    { fault: "two Close-Sessions that fail", flags: ["--fail-closes", "2"] },
    { fault: "a connection that breaks", flags: ["--drop-after", "1"] },
  ])("brings pack, index and alias to a server that is not ours in spite of: $fault", async ({ flags }) => {
    const { args, isThere } = await startWithPair(flags);
    const run = await runCkmesh([...args, "--json"]);
    expect([run.exitCode, run.stderr]).toEqual([0, ""]);
    expect(jsonLines(run).at(-1)).toMatchObject({ type: "summary", published: false });
    expect(isThere()).toBe(true);
  });

  it("goes on where it was killed, with the sessions that it had", async () => {
    const { args, isThere } = await startWithPair([]);
    const slow = [...args, "--json", "--limit", "4M"];
    const killed = await runCkmesh(slow, {
      onStdout: (soFar, kill) => {
        if (/"bytesDone":[1-9]/.test(soFar)) kill("SIGKILL");
      },
    });
    expect(killed.signal).toBe("SIGKILL");
    const run = await runCkmesh([...args, "--json"]);
    expect(run.exitCode).toBe(0);
    expect(isThere()).toBe(true);
    // Pack, index, alias; none of them twice.
    expect(countOf("create-session", 200)).toBe(3);
  });

  it("says that the version is there already", async () => {
    const { args } = await startWithPair([]);
    expect((await runCkmesh(args)).exitCode).toBe(0);
    const again = await runCkmesh(args);
    expect(again.exitCode).not.toBe(0);
    expect(again.stderr).toMatch(/exists|already/i);
  });
});

describe.skipIf(reason !== undefined)("curl", () => {
  it("uploads every byte with Basic", async () => {
    const { url, target } = await start(["--user", "alice", "--password", "x"]);
    const upload = { url, bytes: file, fragmentBytes: 512 * KIB };
    const refused = await curlUpload({ ...upload, logon: [] });
    expect([refused.statuses, existsSync(target)]).toEqual([[401, 401], false]);
    const { statuses } = await curlUpload({ ...upload, logon: ['user = "alice:x"'] });
    expect(statuses).toEqual([200, 200, 200, 200, 200, 200]);
    expect(readFileSync(target).equals(file)).toBe(true);
  });
});
