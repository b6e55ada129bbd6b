import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { isAppError } from "@ckmesh/core";
import { type LoadConfigOptions, loadConfig, printConfig, Type } from "@ckmesh/runtime";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";

const schema = Type.Object({
  listen: Type.Optional(Type.String({ maxLength: 30 })),
  root: Type.String({ isPath: true }),
  limits: Type.Object({ peers: Type.Integer({ minimum: 1, maximum: 100 }), strict: Type.Boolean() }),
  mode: Type.Enum(["fast", "slow"]),
  rights: Type.Object({ read: Type.Array(Type.String()) }),
  sites: Type.Optional(Type.Record(Type.String(), Type.Array(Type.String()))),
  pin: Type.Optional(Type.String({ writeOnly: true, minLength: 4 })),
});

const defaults = { root: "images", limits: { peers: 10, strict: true }, mode: "fast", rights: { read: [] } };
const folder = mkdtempSync(join(tmpdir(), "ckmesh-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function yaml(text: string): string {
  files += 1;
  const file = join(folder, `c${files}.yaml`);
  writeFileSync(file, text);
  return file;
}

function load(options: Partial<LoadConfigOptions<typeof schema>>) {
  return loadConfig({
    schema,
    defaults,
    envPrefix: "CKMESH_",
    env: {},
    flags: {},
    unknownKeys: "error",
    ...options,
  });
}

/** `ok`, or the code of what was thrown. */
function outcomeOf(run: () => unknown): string {
  try {
    run();
    return "ok";
  } catch (err) {
    return isAppError(err) ? err.code : String(err);
  }
}

describe("loadConfig", () => {
  it("lets flags win over the environment, the environment over the file, and the file over defaults", () => {
    const file = yaml("limits:\n  peers: 20\n  strict: false\nmode: slow\nrights: {read: [bob]}\n");
    const { config, sources } = load({
      file,
      env: { CKMESH_LIMITS_PEERS: "30", CKMESH_RIGHTS_READ: "alice, bob", OTHER: "1" },
      flags: { "limits.peers": 40, listen: undefined },
    });
    expect(config).toEqual({
      root: resolve("images"),
      limits: { peers: 40, strict: false },
      mode: "slow",
      rights: { read: ["alice", "bob"] },
    });
    expect(sources).toMatchObject({
      root: "default",
      "limits.peers": "--limits-peers",
      "limits.strict": `${file}:3`,
      mode: `${file}:4`,
      "rights.read": "CKMESH_RIGHTS_READ",
    });
  });

  it("resolves a path of the file against the folder of the file", () => {
    expect(load({ file: yaml("root: ./pictures\n") }).config.root).toBe(join(folder, "pictures"));
  });

  it("freezes the result deeply", () => {
    const { config } = load({});
    expect(Object.isFrozen(config) && Object.isFrozen(config.rights.read)).toBe(true);
  });

  it("names key, value and source of a value out of range", () => {
    const file = yaml("limits: {peers: 500}\n");
    expect(() => load({ file })).toThrow(`limits.peers = 500 (from ${file}:1): must be <= 100`);
  });

  it("lists the values of an enumeration", () => {
    expect(() => load({ env: { CKMESH_MODE: "turbo" } })).toThrow(
      /mode = "turbo" \(from CKMESH_MODE\).*fast, slow/,
    );
  });

  it("names the flag as the program spells it", () => {
    expect(() =>
      load({ flags: { "limits.strict": "maybe" }, flagNames: { "limits.strict": "--strict" } }),
    ).toThrow('limits.strict = "maybe" (from --strict): must be boolean');
  });

  it("says where to set a key that is missing", () => {
    expect(() => load({ defaults: { ...defaults, mode: undefined } })).toThrow(
      "mode is missing: set it in the file, as CKMESH_MODE or with --mode",
    );
  });

  it("suggests the key that was meant", () => {
    const file = yaml("limits: {peeers: 5}\n");
    expect(() => load({ file })).toThrow(
      `unknown key limits.peeers (from ${file}:1); did you mean limits.peers?`,
    );
  });

  it("only warns of unknown keys for managed fleets, and drops them", () => {
    const { config, warnings } = load({ file: yaml("colour: red\n"), unknownKeys: "warn" });
    expect(warnings).toHaveLength(1);
    expect(config).not.toHaveProperty("colour");
  });

  it("warns of an unknown variable", () => {
    expect(load({ env: { CKMESH_LISTN: "x" } }).warnings).toEqual([
      "CKMESH_LISTN is not a setting of this program; did you mean CKMESH_LISTEN?",
    ]);
  });

  it("reports a duplicate key with its line", () => {
    expect(() => load({ file: yaml("mode: fast\nmode: slow\n") })).toThrow(/line 2/);
  });

  it("refuses a value where named keys belong", () => {
    expect(() => load({ file: yaml("limits: 5\n") })).toThrow(
      /limits must hold named keys \(peers, strict\), not 5/,
    );
  });

  it("refuses a file that is missing with ERR_CONFIG_INVALID", () => {
    expect(() => load({ file: join(folder, "none.yaml") })).toThrow(
      expect.objectContaining({ code: "ERR_CONFIG_INVALID" }),
    );
  });

  it("refuses an alias bomb", () => {
    const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [${"*a,".repeat(9)}]\nc: &c [${"*b,".repeat(9)}]\nd: [${"*c,".repeat(9)}]\n`;
    expect(() => load({ file: yaml(bomb) })).toThrow(/too many aliases/);
  });

  it("keeps names with dots within maps of free names", () => {
    expect(load({ flags: { sites: { "eu.north": ["10.0.0.0/8"] } } }).config.sites).toEqual({
      "eu.north": ["10.0.0.0/8"],
    });
  });

  it("does not show a secret that is not valid", () => {
    expect(() => load({ env: { CKMESH_PIN: "abc" } })).toThrow(/^pin = a secret \(from CKMESH_PIN\)/);
  });

  it("answers any text of a file with a configuration or ERR_CONFIG_INVALID", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ maxLength: 80 }), fc.json({ maxDepth: 3 })), (text) => {
        expect(["ok", "ERR_CONFIG_INVALID"]).toContain(outcomeOf(() => load({ file: yaml(text) })));
      }),
      { numRuns: 150 },
    );
  });
});

describe("printConfig", () => {
  it("prints each value with its source and masks secrets", () => {
    const loaded = load({ env: { CKMESH_PIN: "1234567" }, flags: { listen: "0.0.0.0:80" } });
    const text = printConfig(loaded, schema);
    expect(text).toContain("listen: 0.0.0.0:80  # --listen\n");
    expect(text).toContain("  peers: 10  # default");
    expect(text).toContain("********");
    expect(text).not.toContain("1234567");
  });

  it("prints what can be loaded again", () => {
    const first = load({ flags: { sites: { a: ["10.0.0.0/8"] } } });
    expect(load({ file: yaml(printConfig(first, schema)) }).config).toEqual(first.config);
  });
});
