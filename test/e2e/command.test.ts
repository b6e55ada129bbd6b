import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { jsonLines, nodeStartMs, runCkmesh } from "./run-ckmesh.js";
import { useTempFolder } from "./temp-folder.js";

const tempFolder = useTempFolder();

/** Fastest of several runs: what the command needs when the machine lets it. */
async function bestOf(runs: number, args: readonly string[]): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i += 1) best = Math.min(best, (await runCkmesh(args)).ms);
  return best;
}

describe("help", () => {
  it("answers in less than 300 ms, or in four starts of Node on a machine that is slow or busy", async () => {
    const nodeMs = Math.min(await nodeStartMs(), await nodeStartMs(), await nodeStartMs());
    expect(await bestOf(5, ["--help"])).toBeLessThan(Math.max(300, 4 * nodeMs));
  });

  it.each([
    [["--help"]],
    [["pack", "--help"]],
    [["inspect", "--help"]],
    [["delta", "--help"]],
    [["verify", "--help"]],
    [["unpack", "--help"]],
    [["keygen", "--help"]],
    [["upload", "--help"]],
    [["origin", "--help"]],
    [["origin", "account", "add", "--help"]],
    [["tracker", "--help"]],
    [["client", "run", "--help"]],
    [["client", "check", "--help"]],
    [["client", "status", "--help"]],
    [["client", "accept", "--help"]],
    [["client", "rollback", "--help"]],
    [["client", "export", "--help"]],
    [["client", "import", "--help"]],
    [["demo", "--help"]],
  ])("of %j has an example and ends with 0", async (args) => {
    const run = await runCkmesh(args);
    expect(run.exitCode).toBe(0);
    expect(run.stdout).toMatch(/Examples:\n {2}\$ ckmesh /);
    expect(run.stdout, "a line that goes on must survive copy and paste").not.toMatch(/^ {2}\$ {2}/m);
  });
});

describe("wrong usage", () => {
  it("ends with 2, suggests the command that was meant, and says where to read on", async () => {
    const run = await runCkmesh(["pakc", "x"]);
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain("unknown command 'pakc' (Did you mean pack?) (ERR_USAGE)");
    expect(run.stderr).toContain("--help");
    expect(run.stdout).toBe("");
  });

  it("suggests the option that was meant", async () => {
    const run = await runCkmesh(["client", "run", "--stor", "x"]);
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain("Did you mean --store?");
  });

  it("is an exit_error line with --json", async () => {
    const run = await runCkmesh(["verify", "--json"]);
    expect(run.exitCode).toBe(2);
    expect(jsonLines(run)).toMatchObject([{ type: "exit_error", code: "ERR_USAGE", exitCode: 2 }]);
  });

  it("without a command shows the help and ends with 2", async () => {
    const run = await runCkmesh([]);
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain("Usage: ckmesh");
  });

  it.each([
    ["0", "--level must be a whole number from 1 to 12"],
    ["13", "--level must be a whole number from 1 to 12"],
    ["fast", "--level must be a whole number from 1 to 12"],
  ])("refuses --level %s", async (level, message) => {
    const run = await runCkmesh(["pack", "disk", "--name", "A", "--out", "x", "--level", level]);
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain(message);
  });
});

describe("keygen", () => {
  it("writes a key pair that only its owner reads, and never overwrites it", async () => {
    const file = join(tempFolder(), "publisher.key");
    const run = await runCkmesh(["keygen", file]);
    expect(run).toMatchObject({ exitCode: 0, stderr: "" });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const before = readFileSync(file, "utf8");
    expect(before).toContain("BEGIN PRIVATE KEY");
    expect(readFileSync(`${file}.pub`, "utf8")).toMatch(/^[0-9a-f]{64}\n$/);
    const again = await runCkmesh(["keygen", file]);
    expect(again.exitCode).toBe(2);
    expect(again.stderr).toContain("exists; a key is never overwritten");
    expect(readFileSync(file, "utf8")).toBe(before);
  });

  it.each(["--fleet", "--join"])("writes 32 random bytes with %s", async (kind) => {
    const folder = tempFolder();
    await runCkmesh(["keygen", kind, join(folder, "a")]);
    await runCkmesh(["keygen", kind, join(folder, "b")]);
    const [a, b] = ["a", "b"].map((name) => readFileSync(join(folder, name), "utf8"));
    expect(a).toMatch(/^[0-9a-f]{64}\n$/);
    expect(a).not.toBe(b);
    expect(statSync(join(folder, "a")).mode & 0o777).toBe(0o600);
  });
});

describe("a missing file", () => {
  it.each([
    [["verify", "nowhere.ckm.index"]],
    [["inspect", "nowhere.ckm.index"]],
    [["unpack", "nowhere.ckm.index", "out"]],
    [["pack", "nowhere.img", "--name", "A", "--out", "."]],
  ])("ends %j with 4 and names the file", async (args) => {
    const run = await runCkmesh(args, { cwd: tempFolder() });
    expect([run.exitCode, run.stderr]).toEqual([4, expect.stringContaining("nowhere.")]);
  });
});

describe("a wrong file", () => {
  it("where a folder belongs, or a folder where a file belongs, ends with 2", async () => {
    const folder = tempFolder();
    writeFileSync(join(folder, "disk"), "x");
    const out = await runCkmesh(["pack", "disk", "--name", "A", "--out", "disk"], { cwd: folder });
    expect([out.exitCode, out.stderr]).toEqual([2, expect.stringContaining("(ERR_USAGE)")]);
    const index = await runCkmesh(["inspect", "."], { cwd: folder });
    expect([index.exitCode, index.stderr]).toEqual([2, expect.stringContaining("(ERR_USAGE)")]);
  });

  it("in place of a certificate ends with 78 and names both files", async () => {
    const folder = tempFolder();
    writeFileSync(join(folder, "a.pem"), "no certificate");
    const tls = ["--tls-listen", "127.0.0.1:0", "--tls-cert", "a.pem", "--tls-key", "a.pem"];
    for (const args of [
      ["origin", "--root", "."],
      ["tracker", "--open"],
    ]) {
      const run = await runCkmesh([...args, ...tls], { cwd: folder });
      expect([run.exitCode, run.stderr]).toEqual([78, expect.stringContaining("tlsCert and tlsKey")]);
    }
  });

  it("with broken YAML is quoted once", async () => {
    const folder = tempFolder();
    writeFileSync(join(folder, "t.yaml"), "{[\n");
    const run = await runCkmesh(["tracker", "--config", "t.yaml"], { cwd: folder });
    expect(run.exitCode).toBe(78);
    expect(run.stderr.match(/line 2, column 1/g)).toHaveLength(1);
  });
});

describe("a store that is not there", () => {
  it.each(["status", "check"])("ends client %s with 4", async (command) => {
    const run = await runCkmesh(["client", command, "--store", join(tempFolder(), "none")]);
    expect([run.exitCode, run.stderr]).toEqual([4, expect.stringContaining("ERR_FILE_NOT_FOUND")]);
  });
});

describe("configuration", () => {
  it("that is wrong ends with 78, naming key, value and source", async () => {
    const folder = tempFolder();
    writeFileSync(join(folder, "t.yaml"), "announceMs: soon\n");
    const run = await runCkmesh(["tracker", "--config", join(folder, "t.yaml")]);
    expect(run.exitCode).toBe(78);
    expect(run.stderr).toMatch(/announceMs = "soon" \(from .*t\.yaml:1\)/);
  });

  it("goes defaults < file < environment < flags, as --print-config shows", async () => {
    const folder = tempFolder();
    const [a, b, c] = ["a", "b", "c"].map((name) => join(folder, name));
    for (const name of [a, b, c]) mkdirSync(String(name));
    writeFileSync(join(folder, "c.yaml"), "site: file\nstore: ./a\npollSeconds: 60\n");
    const run = await runCkmesh(
      ["client", "run", "--config", join(folder, "c.yaml"), "--print-config", "--store", String(c), "--origin", "http://o/M"],
      { env: { CKMESH_SITE: "env", CKMESH_STORE: String(b) } },
    ); // biome-ignore format: a command line
    expect(run.exitCode).toBe(0);
    expect(run.stdout).toContain("pollSeconds: 60  # ");
    expect(run.stdout).toContain("site: env  # CKMESH_SITE");
    expect(run.stdout).toContain(`store: ${String(c)}  # --store`);
    expect(run.stdout).toContain("keep: 1  # default");
  });

  it("with an unknown log level ends with 78", async () => {
    const run = await runCkmesh(["tracker", "--open", "--listen", "127.0.0.1:0", "--log-level", "loud"]);
    expect(run.exitCode).toBe(78);
    expect(run.stderr).toContain("--log-level must be one of");
  });
});

describe("a program", () => {
  const args = ["tracker", "--open", "--listen", "127.0.0.1:0", "--json"];

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 0],
  ] as const)("that %s ends exits with %i, having closed cleanly", async (signal, exitCode) => {
    const run = await runCkmesh(args, {
      onStdout: (text, kill) => {
        if (text.includes('"event":"ready"') && !text.includes("summary")) kill(signal);
      },
    });
    expect(run).toMatchObject({ exitCode, signal: null });
    expect(jsonLines(run).at(-1)).toMatchObject({ type: "summary" });
  });

  it("whose address is taken ends with 7", async () => {
    let port = "";
    const second: Promise<Awaited<ReturnType<typeof runCkmesh>>>[] = [];
    await runCkmesh(args, {
      onStdout: (text, kill) => {
        const found = /127\.0\.0\.1:(\d+)/.exec(text)?.[1];
        if (found === undefined || port !== "") return;
        port = found;
        second.push(
          runCkmesh(["tracker", "--open", "--listen", `127.0.0.1:${port}`]).finally(() => kill("SIGTERM")),
        );
      },
    });
    expect(await second[0]).toMatchObject({
      exitCode: 7,
      stderr: expect.stringContaining("ERR_ADDRESS_IN_USE"),
    });
  });
});
