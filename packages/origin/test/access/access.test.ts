import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fields } from "@ckmesh/core";
import { addAccount } from "@ckmesh/origin";
import { checkTicket } from "@ckmesh/wire";
import { describe, expect, it } from "vitest";
import { makePair } from "../make-pair.js";
import { eventually, startTestOrigin, type TestOrigin, temporaryFolder } from "../origin-fixture.js";

const V1 = makePair({ name: "win7", version: 1 });
const PACK = "/MEDVImages/win7_1.ckm";
const FLEET_KEY = "ab".repeat(32);

function basic(user: string, password: string): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
}

/** TLS and plain, no anonymous reading, accounts alice (admin) and bob, who may not read. */
async function guarded(flags: Readonly<Record<string, unknown>> = {}): Promise<TestOrigin> {
  const folder = temporaryFolder();
  const accountsFile = join(folder, "accounts.yaml");
  await addAccount(accountsFile, "alice", "right");
  await addAccount(accountsFile, "bob", "builder");
  const fleetKeyFile = join(folder, "fleet.key");
  writeFileSync(fleetKeyFile, `${FLEET_KEY}\n`);
  const origin = await startTestOrigin({
    folder,
    tls: true,
    pairs: [V1],
    flags: {
      "authentication.anonymous.enabled": false,
      "authentication.accountsFile": accountsFile,
      "rights.read": ["alice", "carol"],
      "rights.admin": ["alice"],
      fleetKeyFile,
      sites: { oslo: ["127.0.0.0/8"], bergen: ["10.0.0.0/8"] },
      ...flags,
    },
  });
  await eventually(async () => (await origin.get(PACK, basic("alice", "right"))).status === 200);
  return origin;
}

describe("authentication", () => {
  it("asks for credentials before it says what exists", async () => {
    const origin = await guarded();
    const targets = [
      PACK,
      "/MEDVImages/none_1.ckm",
      "/nothing",
      "/ckmesh/catalogue",
      "/ckmesh/api/status",
      "/ckmesh/ticket",
    ];
    const answers = await Promise.all([
      ...targets.map((target) => origin.get(target)),
      origin.get(PACK, {}, "DELETE"),
    ]);
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 401));
    expect(answers[0]?.headers["www-authenticate"]).toBe('Basic realm="MEDV", charset="UTF-8"');
    expect(JSON.parse(answers[0]?.body.toString() ?? "")).toMatchObject({ code: "ERR_AUTH_REQUIRED" });
  });

  it("answers wrong and malformed credentials with 401, and a known user without the right with 403", async () => {
    const origin = await guarded();
    const status = async (headers: Record<string, string>): Promise<number> =>
      (await origin.get(PACK, headers)).status;
    expect(await status(basic("alice", "wrong"))).toBe(401);
    expect(await status(basic("nobody", "right"))).toBe(401);
    expect(await status({ authorization: "Basic !!!" })).toBe(401);
    expect(await status({ authorization: "Negotiate TlRMTVNTUAABAAAA" })).toBe(401);
    expect(await status({ authorization: "" })).toBe(401);
    expect(await status(basic("bob", "builder"))).toBe(403);
    expect(await status(basic("MEDV\\Alice", "right"))).toBe(200);
  });

  it("takes no password without TLS, and says so", async () => {
    const origin = await guarded();
    const answer = await origin.getPlain(PACK, basic("alice", "right"));
    expect([answer.status, answer.headers["www-authenticate"]]).toEqual([403, undefined]);
    expect(answer.body.toString()).toContain("https");
  });

  it("takes a password without TLS where that is allowed", async () => {
    const origin = await guarded({ "authentication.basic.allowOverHttp": true });
    expect((await origin.getPlain(PACK, basic("alice", "right"))).status).toBe(200);
  });

  it("locks an account after the threshold, for this address, right password or not", async () => {
    const origin = await guarded({ "authentication.lockout.threshold": 2 });
    await origin.get(PACK, basic("alice", "wrong 1"));
    await origin.get(PACK, basic("alice", "wrong 2"));
    const { status, headers } = await origin.get(PACK, basic("alice", "right"));
    // No 401: a client would take its password for wrong, and it may be a neighbour who guesses.
    expect([status, headers["retry-after"], headers["www-authenticate"]]).toEqual([429, "60", undefined]);
    expect((await origin.get(PACK, basic("alice", "wrong 3"))).status).toBe(429);
  });

  it("accepts an account that was added while it runs", async () => {
    const origin = await guarded();
    await addAccount(join(origin.folder, "accounts.yaml"), "carol", "new");
    await eventually(async () => (await origin.get(PACK, basic("carol", "new"))).status === 200);
    expect((await origin.get(PACK, basic("carol", "old"))).status).toBe(401);
  });

  it("lets everybody read, and refuses wrong credentials, with anonymous reading on", async () => {
    const origin = await guarded({ "authentication.anonymous.enabled": true, "rights.read": ["Everyone"] });
    expect((await origin.get(PACK)).status).toBe(200);
    expect((await origin.get(PACK, basic("alice", "wrong"))).status).toBe(401);
    expect((await origin.get(PACK, basic("bob", "builder"))).status).toBe(200);
  });

  it("speaks TLS 1.2 and 1.3 with forward secrecy, HTTP/1.1 only", async () => {
    const origin = await guarded();
    const { connect } = await import("node:tls");
    const url = new URL(origin.origin.urls.find((u) => u.startsWith("https")) ?? "");
    const shake = (options: object): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(
          { host: url.hostname, port: Number(url.port), rejectUnauthorized: false, ...options },
          () => {
            resolve(`${socket.getProtocol()} ${String(socket.alpnProtocol)}`);
            socket.destroy();
          },
        );
        socket.on("error", () => resolve("refused"));
      });
    expect(await shake({ ALPNProtocols: ["h2", "http/1.1"] })).toBe("TLSv1.3 http/1.1");
    expect(await shake({ maxVersion: "TLSv1.2" })).toBe("TLSv1.2 false");
    expect(await shake({ maxVersion: "TLSv1.1", minVersion: "TLSv1" })).toBe("refused");
    expect(await shake({ maxVersion: "TLSv1.2", ciphers: "AES128-GCM-SHA256" })).toBe("refused");
    expect(await shake({ maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA256" })).toBe("refused");
  });
});

describe("tickets", () => {
  it("are issued to a reader, with the site of the address map, and only for a peer id", async () => {
    const origin = await guarded();
    const peer = "0f".repeat(32);
    const answer = await origin.get(`/ckmesh/ticket?peer=${peer}`, basic("alice", "right"));
    expect(answer.headers["cache-control"]).toBe("no-store");
    const parsed: unknown = JSON.parse(answer.body.toString());
    const bytes = Buffer.from(new Fields(parsed, "answer").string("ticket", 4000), "base64");
    const ticket = checkTicket(Buffer.from(FLEET_KEY, "hex"), bytes, Date.now());
    expect(ticket).toMatchObject({ user: "alice", role: "client", site: "oslo" });
    expect(Buffer.from(ticket.peerId).toString("hex")).toBe(peer);
    for (const query of ["", "?peer=", "?peer=zz", `?peer=${peer}00`, `?peer=${peer}&peer=${peer}`]) {
      expect((await origin.get(`/ckmesh/ticket${query}`, basic("alice", "right"))).status).toBe(400); // oxlint-disable-line no-await-in-loop
    }
  });

  it("of the origin have role origin", async () => {
    const origin = await guarded();
    const bytes = origin.origin.issueOriginTicket(new Uint8Array(32));
    expect(checkTicket(Buffer.from(FLEET_KEY, "hex"), bytes, Date.now()).role).toBe("origin");
  });

  it("are not there without a fleet key", async () => {
    const origin = await startTestOrigin();
    expect((await origin.get(`/ckmesh/ticket?peer=${"0f".repeat(32)}`)).status).toBe(404);
    expect(() => origin.origin.issueOriginTicket(new Uint8Array(32))).toThrow(
      expect.objectContaining({ code: "ERR_CONFIG_INVALID" }),
    );
  });
});

describe("status and catalogue", () => {
  it("show what is refused to admins only", async () => {
    const origin = await guarded({ "rights.read": ["Everyone"] });
    writeFileSync(join(origin.root, "odd.ckm"), "x");
    await eventually(async () =>
      (await origin.get("/ckmesh/api/status", basic("alice", "right"))).body.includes("odd.ckm"),
    );
    const forBob = (await origin.get("/ckmesh/api/status", basic("bob", "builder"))).body.toString();
    expect(forBob).not.toContain("odd.ckm");
    expect(JSON.parse(forBob)).toMatchObject({ refusedCount: 1, versions: 1 });
  });

  it("list images with versions, sizes, tags and dates", async () => {
    const origin = await guarded();
    const { body, headers } = await origin.get("/CKMESH/Catalogue", basic("alice", "right"));
    expect(headers["content-type"]).toMatch(/^application\/json/);
    expect(JSON.parse(body.toString())).toMatchObject({
      images: [
        {
          name: "win7",
          newest: 1,
          versions: [
            { version: 1, id: V1.idHex, opaque: false, pack: { file: V1.packName, bytes: V1.pack.length } },
          ],
        },
      ],
    });
  });

  it("tell health and metrics without credentials", async () => {
    const origin = await guarded();
    expect((await origin.get("/healthz")).body.toString()).toBe('{"status":"ok"}');
    expect((await origin.get("/metrics")).body.toString()).toContain(
      'ckmesh_origin_requests_total{status="2xx"}',
    );
  });
});

describe("addAccount", () => {
  it("keeps the NT hash of an account, and none without NTLM", async () => {
    const file = join(temporaryFolder(), "accounts.yaml");
    await addAccount(file, "alice", "Password");
    await addAccount(file, "bob", "Password", false);
    const lines = readFileSync(file, "utf8").split("\n");
    expect(lines.find((line) => line.includes("alice"))).toContain('nt: "a4f49c406510bdcab6824ee7c30fd852"');
    expect(lines.find((line) => line.includes("bob"))).not.toContain("nt:");
  });

  it("writes a file that only its owner reads, and changes a password in it", async () => {
    const file = join(temporaryFolder(), "accounts.yaml");
    await addAccount(file, "alice", "one");
    await addAccount(file, "ALICE", "two");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, "utf8").match(/name:/g)).toHaveLength(1);
  });

  it.each(["", "a b", "DOM\\alice", "everyone"])("refuses %j for a name", async (name) => {
    await expect(addAccount(join(temporaryFolder(), "a.yaml"), name, "x")).rejects.toMatchObject({
      code: "ERR_CONFIG_INVALID",
    });
  });

  it("keeps a file that it cannot read", async () => {
    const file = join(temporaryFolder(), "accounts.yaml");
    writeFileSync(file, "accounts: [{name: x}]\n");
    await expect(addAccount(file, "alice", "one")).rejects.toMatchObject({ code: "ERR_CONFIG_INVALID" });
    expect(readFileSync(file, "utf8")).toBe("accounts: [{name: x}]\n");
  });
});
