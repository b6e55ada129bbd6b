import { readFileSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { addAccount, type OriginConfig, originConfigDefaults, originConfigSchema } from "@ckmesh/origin";
import { loadConfig } from "@ckmesh/runtime";
import { describe, expect, it } from "vitest";
import { makePair } from "../make-pair.js";
import { eventually, startTestOrigin, type TestOrigin, temporaryFolder } from "../origin-fixture.js";
import { Lane } from "./lane.js";

const V1 = makePair({ name: "win7", version: 1 });
const LARGE = makePair({ name: "large", version: 1, frames: 256 });
const PACK = "/MEDVImages/win7_1.ckm";

/** Alice and bob may read, by NTLM over plain HTTP; read in by `reloadWith`. */
async function start(): Promise<{ origin: TestOrigin; reloadWith: (flags: object) => Promise<unknown> }> {
  const folder = temporaryFolder();
  const accountsFile = join(folder, "accounts.yaml");
  await addAccount(accountsFile, "alice", "right");
  const flags = {
    "authentication.anonymous.enabled": false,
    "authentication.windows.enabled": true,
    "authentication.accountsFile": accountsFile,
  };
  const origin = await startTestOrigin({ folder, tls: true, pairs: [V1, LARGE], flags });
  const lane = new Lane(origin, { plain: true });
  await eventually(async () => (await lane.logOn(PACK, "alice", "right")).status === 200);
  const reloadWith = (changes: object): Promise<unknown> =>
    origin.origin.reload(merge(origin.config, changes));
  return { origin, reloadWith };
}

/** The configuration of a running origin with other values. */
function merge(config: OriginConfig, changes: object): OriginConfig {
  return loadConfig({
    schema: originConfigSchema,
    defaults: originConfigDefaults,
    envPrefix: "CKMESH_",
    env: {},
    unknownKeys: "error",
    flags: { ...config, ...changes },
  }).config;
}

describe("a reload", () => {
  it("ends no transfer and no logon, and its rights count at once", async () => {
    const { origin, reloadWith } = await start();
    const lane = new Lane(origin, { plain: true });
    expect((await lane.logOn(PACK, "alice", "right")).status).toBe(200);
    const received = await slowDownload(origin, async () => {
      expect(await reloadWith({ "rights.read": ["bob"] })).toEqual({ changed: ["rights.read"], restart: [] });
      expect((await lane.ask(PACK)).status).toBe(403);
      expect(await reloadWith({})).toEqual({ changed: ["rights.read"], restart: [] });
      expect((await lane.ask(PACK)).status).toBe(200);
    });
    expect(received.equals(LARGE.pack)).toBe(true);
  });

  it("changes how people log on; who has logged on before does it again", async () => {
    const { origin, reloadWith } = await start();
    const lane = new Lane(origin, { plain: true });
    expect((await lane.logOn(PACK, "alice", "right")).status).toBe(200);
    await reloadWith({ "authentication.windows.providers": ["NTLM"] });
    const asked = await lane.ask(PACK);
    expect([asked.status, asked.challenges]).toEqual([401, ["NTLM"]]);
    expect((await lane.logOn(PACK, "alice", "right")).status).toBe(200);
    await reloadWith({ "authentication.windows.enabled": false, "authentication.anonymous.enabled": true });
    expect((await lane.ask(PACK)).status).toBe(200);
  });

  it("looks at the accounts file at once, and at the certificate", async () => {
    const { origin, reloadWith } = await start();
    await addAccount(join(origin.folder, "accounts.yaml"), "bob", "builder");
    const lane = new Lane(origin, { plain: true });
    expect(await reloadWith({})).toEqual({ changed: [], restart: [] });
    expect((await lane.logOn(PACK, "bob", "builder")).status).toBe(200);
    const cert = join(origin.folder, "cert.pem");
    writeFileSync(cert, `another\n${readFileSync(cert, "utf8")}`);
    await reloadWith({});
    expect(origin.log.join("")).toContain("certificate read again");
  });

  it("names the settings that need a restart", async () => {
    const { origin, reloadWith } = await start();
    const { virtualDirectory, limits } = origin.config;
    expect(
      await reloadWith({
        virtualDirectory: { ...virtualDirectory, directoryBrowse: true },
        limits: { ...limits, maxTransfers: 7, drainMs: 0 },
        sites: { oslo: ["127.0.0.0/8"] },
      }),
    ).toEqual({
      changed: ["limits.drainMs", "sites"],
      restart: ["virtualDirectory.directoryBrowse", "limits.maxTransfers"],
    });
  });

  it.each<[string, object, RegExp]>([
    ["networks that are none", { trustedProxies: ["proxy.example"] }, /trustedProxies/],
    ["sites that are none", { sites: { oslo: ["x"] } }, /sites\.oslo/],
    [
      "an accounts file that is not there",
      { "authentication.accountsFile": "/does/not/exist" },
      /accounts file/,
    ],
    [
      "a keytab that is not there",
      {
        "authentication.windows.netbiosDomain": "MEDV",
        "authentication.windows.kerberos": { keytab: "/does/not/exist", realms: ["X"] },
      },
      /keytab/,
    ],
  ])("with %s changes nothing", async (_, changes, message) => {
    const { origin, reloadWith } = await start();
    const lane = new Lane(origin, { plain: true });
    expect((await lane.logOn(PACK, "alice", "right")).status).toBe(200);
    await expect(reloadWith({ ...changes, "rights.read": [] })).rejects.toMatchObject({
      code: "ERR_CONFIG_INVALID",
      message: expect.stringMatching(message),
    });
    expect((await lane.ask(PACK)).status).toBe(200);
  });
});

/** Reads the large pack with a pause in the middle, in which `during` runs. */
async function slowDownload(origin: TestOrigin, during: () => Promise<void>): Promise<Buffer> {
  const lane = new Lane(origin, { plain: true });
  const { answer } = await lane.begin(PACK);
  const base = new URL(origin.origin.urls.find((u) => u.startsWith("http:")) ?? "");
  const headers = { authorization: answer("alice", "right") };
  return new Promise((resolve, reject) => {
    const options = { host: base.hostname, port: base.port, path: "/MEDVImages/large_1.ckm", headers };
    get({ ...options, agent: lane.agent }, (response) => {
      const chunks: Buffer[] = [];
      response.once("data", (chunk: Buffer) => {
        chunks.push(chunk);
        response.pause();
        const goOn = async (): Promise<void> => {
          await during();
          response.on("data", (more: Buffer) => chunks.push(more));
          response.on("end", () => resolve(Buffer.concat(chunks)));
          response.resume();
        };
        goOn().catch(reject);
      });
    }).on("error", reject);
  });
}
