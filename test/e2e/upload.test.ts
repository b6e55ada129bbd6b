import { randomFillSync } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { CkmeshProcess } from "@ckmesh/cli";
import { MIB } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { ALICE, BOB, writeAccounts } from "../testbed/local-accounts.js";
import { type Finished, jsonLines, runCkmesh } from "./run-ckmesh.js";
import { useTempFolder } from "./temp-folder.js";

const tempFolder = useTempFolder();
const TIMEOUT_MS = 120_000;
const DISK_BYTES = 24 * MIB;
/** Slow enough that there is a middle: about seven seconds, with a status line each second. */
const SLOW = "30M";

/** An origin that takes uploads of alice; bob may only read. */
class UploadOrigin {
  readonly folder: string;
  readonly root: string;
  /** Once started: the same after each start. */
  url = "";
  #process: CkmeshProcess | undefined;
  readonly #signal: AbortSignal;

  constructor(folder: string, signal: AbortSignal) {
    this.folder = folder;
    this.root = join(folder, "images");
    this.#signal = signal;
  }

  async start(bits: object = { BITSUploadEnabled: true }): Promise<void> {
    mkdirSync(this.root, { recursive: true });
    const config = join(this.folder, "origin.yaml");
    const authentication = {
      accountsFile: join(this.folder, "accounts.yaml"),
      windows: { enabled: true },
    };
    if (!existsSync(authentication.accountsFile)) await writeAccounts(this.folder);
    const rights = { read: ["Everyone"], change: ["alice"], admin: [] };
    writeFileSync(config, JSON.stringify({ authentication, rights, bits }));
    const listen = this.url === "" ? "127.0.0.1:0" : new URL(this.url).host;
    const args = ["--root", this.root, "--config", config, "--state", join(this.folder, "state")];
    this.#process = new CkmeshProcess("origin", ["origin", ...args, "--listen", listen], {
      logFile: join(this.folder, "origin.log"),
    });
    const ready = await this.#process.waitFor((line) => line["event"] === "ready", this.#signal);
    if (this.url === "") this.url = String(Array.isArray(ready["urls"]) ? ready["urls"][0] : "");
  }

  /** At once, as a power cut would. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  /** Of a file of the origin's folder. */
  served(fileName: string): Buffer {
    return readFileSync(join(this.root, fileName));
  }
}

/** Flags of an upload, by NTLM: a password does not go over plain http by itself. */
function flags(folder: string, url: string, { account, password } = ALICE): readonly string[] {
  const file = join(folder, `${account}.password`);
  writeFileSync(file, `${password}\n`);
  return ["--to", url, "--ntlm", "--user", account, "--password-file", file, "--json"];
}

async function withOrigin(
  signal: AbortSignal,
  run: (origin: UploadOrigin, own: string) => Promise<void>,
): Promise<void> {
  const folder = tempFolder();
  const own = join(folder, "admin");
  mkdirSync(own);
  const origin = new UploadOrigin(folder, signal);
  try {
    await run(origin, own);
  } finally {
    await origin.stop();
  }
}

/** Packs a disk of random bytes as version 1. */
async function packFirst(own: string): Promise<string> {
  writeFileSync(join(own, "disk"), randomFillSync(new Uint8Array(DISK_BYTES)));
  const run = await runCkmesh(["pack", join(own, "disk"), "--name", "Win11", "--out", own, "--quiet"]);
  expect(run.exitCode).toBe(0);
  return join(own, "Win11_1.ckm.index");
}

/** Changes a part of the disk and packs it as version 2. */
async function packSecond(own: string, changedBytes: number): Promise<string> {
  const disk = openSync(join(own, "disk"), "r+");
  writeSync(disk, randomFillSync(new Uint8Array(changedBytes)), 0, changedBytes, 8 * MIB);
  closeSync(disk);
  const previous = ["--previous", join(own, "Win11_1.ckm.index")];
  const args = ["pack", join(own, "disk"), "--name", "Win11", "--out", own, ...previous, "--quiet"];
  const run = await runCkmesh(args);
  expect(run.exitCode).toBe(0);
  return join(own, "Win11_2.ckm.index");
}

/** The last line. */
function end(run: Finished): Readonly<Record<string, unknown>> {
  return jsonLines(run).at(-1) ?? {};
}

function sameFiles(origin: UploadOrigin, own: string, version: number): boolean {
  const names = [`Win11_${version}.ckm`, `Win11_${version}.ckm.index`];
  return names.every((name) => origin.served(name).equals(readFileSync(join(own, name))));
}

describe("an upload to an origin", () => {
  it(
    "publishes a version, and of the next one only what is new crosses the line",
    async ({ signal }) => {
      await withOrigin(signal, async (origin, own) => {
        await origin.start();
        const first = await runCkmesh(["upload", await packFirst(own), ...flags(own, origin.url)]);
        expect(end(first)).toMatchObject({ type: "summary", published: true, version: 1, bytesSpared: 0 });
        expect(sameFiles(origin, own, 1)).toBe(true);
        const changed = MIB;
        const index = await packSecond(own, changed);
        const second = await runCkmesh(["upload", index, ...flags(own, origin.url)]);
        expect(end(second)).toMatchObject({ type: "summary", published: true, version: 2 });
        const sent = Number(end(second)["bytesSent"]) - readFileSync(index).length;
        expect(sent).toBeGreaterThanOrEqual(changed);
        expect(sent).toBeLessThan(changed * 1.2);
        expect(sameFiles(origin, own, 2)).toBe(true);
        expect(existsSync(join(own, "Win11_2.ckm.upload"))).toBe(false);
        const again = await runCkmesh(["upload", index, ...flags(own, origin.url)]);
        expect(end(again)).toMatchObject({ published: true, version: 2, bytesSent: 0 });
      });
    },
    TIMEOUT_MS,
  );

  it(
    "goes on after a kill and a stop of the uploader, and through a kill of the origin",
    async ({ signal }) => {
      await withOrigin(signal, async (origin, own) => {
        await origin.start();
        const args = ["upload", await packFirst(own), ...flags(own, origin.url)];
        const killed = new CkmeshProcess("upload", [...args.slice(0, -1), "--limit", SLOW]);
        await killed.waitFor((line) => Number(line["bytesSent"]) > 0, signal);
        await killed.kill();
        expect(existsSync(join(own, "Win11_1.ckm.upload"))).toBe(true);

        const stopped = await runCkmesh([...args, "--limit", SLOW], {
          onStdout(text, kill) {
            if (/"bytesSent":[1-9]/.test(text)) kill("SIGINT");
          },
        });
        expect([stopped.exitCode, end(stopped)["code"]]).toEqual([130, "ERR_ABORTED"]);

        const next = new CkmeshProcess("upload", [...args.slice(0, -1), "--limit", SLOW]);
        try {
          await next.waitFor((line) => Number(line["bytesSent"]) > 0, signal);
          await origin.kill();
          await next.waitFor((line) => line["event"] === "retry", signal);
          await origin.start();
          const summary = await next.done(signal);
          expect(summary).toMatchObject({ published: true, version: 1 });
          // Some went before, and a fragment or two went twice.
          expect(Number(summary["bytesSent"])).toBeLessThan(DISK_BYTES * 0.95);
        } finally {
          await next.stop();
        }
        expect(sameFiles(origin, own, 1)).toBe(true);
      });
    },
    TIMEOUT_MS,
  );

  it(
    "that is refused says why, and ends with the right exit code",
    async ({ signal }) => {
      await withOrigin(signal, async (origin, own) => {
        await origin.start();
        const index = await packFirst(own);
        const reader = await runCkmesh(["upload", index, ...flags(own, origin.url, BOB)]);
        expect([reader.exitCode, end(reader)["code"]]).toEqual([3, "ERR_AUTH_FORBIDDEN"]);
        const wrong = flags(own, origin.url, { account: "alice", password: "wrong" });
        const stranger = await runCkmesh(["upload", index, ...wrong]);
        expect([stranger.exitCode, end(stranger)["code"]]).toEqual([3, "ERR_AUTH_REQUIRED"]);

        const done = await runCkmesh(["upload", index, ...flags(own, origin.url)]);
        expect(done.exitCode).toBe(0);
        const other = join(own, "other");
        mkdirSync(other);
        const otherIndex = await packFirst(other);
        const taken = await runCkmesh(["upload", otherIndex, ...flags(own, origin.url)]);
        expect([taken.exitCode, end(taken)["code"]]).toEqual([1, "ERR_IMAGE_EXISTS"]);
        expect(end(taken)["message"]).toContain("--version 2");
        expect(sameFiles(origin, own, 1)).toBe(true);

        await origin.stop();
        await origin.start({ BITSUploadEnabled: false });
        const off = await runCkmesh(["upload", otherIndex, ...flags(own, origin.url)]);
        expect(end(off)["code"]).toBe("ERR_UPLOAD_DISABLED");
      });
    },
    TIMEOUT_MS,
  );
});
