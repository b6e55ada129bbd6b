import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { addAccount } from "@ckmesh/origin";
import { describe, expect, it, onTestFinished } from "vitest";
import { makePair } from "../make-pair.js";
import { eventually, startTestOrigin, type TestOrigin, temporaryFolder } from "../origin-fixture.js";
import { OTHER_CERT, TEST_CERT } from "../tls-fixture.js";
import { Lane, rawHandshake, type WindowsScheme } from "./lane.js";

const V1 = makePair({ name: "win7", version: 1 });
const PACK = "/MEDVImages/win7_1.ckm";
const FAKE = fileURLToPath(new URL("../logon/fake-ntlm-auth.mjs", import.meta.url));

/** One who may read, one who may not, one who is nobody. */
const PEOPLE = [
  { name: "alice", password: "right", status: 200 },
  { name: "carol", password: "noread", status: 403 },
  { name: "mallory", password: "guess", status: 401 },
] as const;

const basic = (user: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
});

/** Made once: hashing passwords is slow on purpose. */
let madeAccounts: Promise<string> | undefined;
function accountsText(): Promise<string> {
  madeAccounts ??= (async () => {
    const file = join(temporaryFolder(), "accounts.yaml");
    await addAccount(file, "alice", "right");
    await addAccount(file, "bob", "builder");
    await addAccount(file, "carol", "noread");
    return readFileSync(file, "utf8");
  })();
  return madeAccounts;
}

async function windowsOrigin(flags: Readonly<Record<string, unknown>> = {}): Promise<TestOrigin> {
  const folder = temporaryFolder();
  const accountsFile = join(folder, "accounts.yaml");
  writeFileSync(accountsFile, await accountsText());
  const origin = await startTestOrigin({
    folder,
    tls: true,
    pairs: [V1],
    flags: {
      "authentication.anonymous.enabled": false,
      "authentication.windows.enabled": true,
      "authentication.accountsFile": accountsFile,
      "rights.read": ["alice", "bob"],
      ...flags,
    },
  });
  await eventually(async () => (await origin.get(PACK, basic("alice", "right"))).status === 200);
  return origin;
}

/** Lines of the request log, written by now. */
async function requestLog(origin: TestOrigin): Promise<readonly string[]> {
  await origin.origin.close();
  const folder = join(origin.state, "logs");
  return readdirSync(folder).flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"));
}

describe("Windows authentication", () => {
  it("offers its providers in order, then Basic, each bare", async () => {
    const origin = await windowsOrigin();
    expect((await new Lane(origin).ask(PACK)).challenges).toEqual([
      "Negotiate",
      "NTLM",
      'Basic realm="MEDV", charset="UTF-8"',
    ]);
    expect((await new Lane(origin, { plain: true }).ask(PACK)).challenges).toEqual(["Negotiate", "NTLM"]);
    const swapped = await windowsOrigin({ "authentication.windows.providers": ["NTLM", "Negotiate"] });
    expect((await new Lane(swapped, { plain: true }).ask(PACK)).challenges).toEqual(["NTLM", "Negotiate"]);
  });

  it.each<WindowsScheme>(["NTLM", "Negotiate"])(
    "by %s proves a connection once: its leg has one line, later requests none",
    async (scheme) => {
      const lane = new Lane(await windowsOrigin());
      const { first, answer } = await lane.begin(PACK, scheme);
      expect([first.status, first.challenges.length]).toEqual([401, 1]);
      expect(first.challenges[0]).toMatch(new RegExp(`^${scheme} [A-Za-z0-9+/=]+$`));
      const done = await lane.ask(PACK, { authorization: answer("alice", "right") });
      expect([done.status, done.headers["persistent-auth"], done.body.equals(V1.pack)]).toEqual([
        200,
        "true",
        true,
      ]);
      const later = await lane.ask(PACK, { range: "bytes=5-9" });
      expect([later.status, later.localPort, later.challenges]).toEqual([206, first.localPort, []]);
      expect(later.headers["persistent-auth"]).toBeUndefined();
    },
  );

  it("answers a wrong password with all challenges on the same connection, which can be used on", async () => {
    const lane = new Lane(await windowsOrigin());
    const wrong = await lane.logOn(PACK, "alice", "wrong");
    expect([wrong.status, wrong.challenges.length, wrong.headers.connection]).toEqual([401, 3, "keep-alive"]);
    expect((await lane.ask(PACK)).status).toBe(401);
    const right = await lane.logOn(PACK, "alice", "right");
    expect([right.status, right.localPort]).toEqual([200, wrong.localPort]);
  });

  it("answers who has proven a name without the right with 403, and never asks for another one", async () => {
    const lane = new Lane(await windowsOrigin());
    const refused = await lane.logOn(PACK, "carol", "noread");
    expect([refused.status, refused.challenges]).toEqual([403, []]);
    expect((await lane.ask(PACK)).status).toBe(403);
  });

  it("gives a connection to the next user whole, and to nobody after a failed try", async () => {
    const lane = new Lane(await windowsOrigin());
    expect((await lane.logOn(PACK, "alice", "right")).status).toBe(200);
    expect((await lane.logOn(PACK, "carol", "noread")).status).toBe(403);
    expect((await lane.ask(PACK)).status).toBe(403);
    expect((await lane.logOn(PACK, "alice", "right")).status).toBe(200);
    expect((await lane.logOn(PACK, "alice", "wrong")).status).toBe(401);
    expect((await lane.ask(PACK)).status).toBe(401);
  });

  it("lets nobody in by a Type 3 that was seen before: on its connection, on another, with its Type 1", async () => {
    const origin = await windowsOrigin();
    const lane = new Lane(origin);
    const { answer } = await lane.begin(PACK);
    const authorization = answer("alice", "right");
    expect((await lane.ask(PACK, { authorization })).status).toBe(200);
    expect((await lane.ask(PACK, { authorization })).status).toBe(401);
    expect((await lane.ask(PACK)).status).toBe(401);
    const other = new Lane(origin);
    expect((await other.ask(PACK, { authorization })).status).toBe(401);
    await other.begin(PACK);
    expect((await other.ask(PACK, { authorization })).status).toBe(401);
    expect((await other.ask(PACK)).status).toBe(401);
  });

  it("keeps 100 handshakes apart that run at the same time", async () => {
    const origin = await windowsOrigin({ "authentication.lockout.threshold": 100 });
    const lanes = Array.from({ length: 100 }, () => new Lane(origin, { plain: true }));
    const begun = await Promise.all(lanes.map((lane) => lane.begin(PACK)));
    const people = lanes.map((_, i) => PEOPLE[i % PEOPLE.length] ?? PEOPLE[0]);
    const expected = people.map(({ status }) => status);
    const done = await Promise.all(
      lanes.map((lane, i) =>
        lane.ask(PACK, {
          authorization: begun[i]?.answer(people[i]?.name ?? "", people[i]?.password ?? ""),
        }),
      ),
    );
    expect(done.map(({ status }) => status)).toEqual(expected);
    const later = await Promise.all(lanes.map((lane) => lane.ask(PACK)));
    expect(later.map(({ status }) => status)).toEqual(expected);
  });

  it.each([{ via: "1.1 proxy" }, { "x-forwarded-for": "10.0.0.1" }, { forwarded: "for=10.0.0.1" }])(
    "remembers nobody on a connection that a proxy may share: %j",
    async (headers) => {
      const lane = new Lane(await windowsOrigin(), { headers });
      const done = await lane.logOn(PACK, "alice", "right");
      expect([done.status, done.headers["persistent-auth"]]).toEqual([200, undefined]);
      expect((await lane.ask(PACK)).status).toBe(401);
    },
  );

  it("does not hand what a direct request has proven to a request with the mark of a proxy", async () => {
    const lane = new Lane(await windowsOrigin());
    expect((await lane.logOn(PACK, "alice", "right")).status).toBe(200);
    expect((await lane.ask(PACK, { via: "1.1 proxy" })).status).toBe(401);
    expect((await lane.ask(PACK)).status).toBe(401);
  });

  it("remembers who comes by a proxy that is trusted to keep connections apart", async () => {
    const origin = await windowsOrigin({ trustedProxies: ["127.0.0.0/8"] });
    const lane = new Lane(origin, { headers: { via: "1.1 proxy" } });
    expect((await lane.logOn(PACK, "alice", "right")).status).toBe(200);
    expect((await lane.ask(PACK)).status).toBe(200);
  });

  it("asks for a logon with each request where authPersistSingleRequest says so", async () => {
    const lane = new Lane(await windowsOrigin({ "authentication.windows.authPersistSingleRequest": true }));
    const done = await lane.logOn(PACK, "alice", "right");
    expect([done.status, done.headers["persistent-auth"]]).toEqual([200, undefined]);
    expect((await lane.ask(PACK)).status).toBe(401);
  });

  it("refuses a logon that is bound to another server's certificate, by tokenChecking also one that is not bound", async () => {
    const origin = await windowsOrigin();
    expect((await new Lane(origin, { boundTo: TEST_CERT }).logOn(PACK, "alice", "right")).status).toBe(200);
    expect((await new Lane(origin, { boundTo: OTHER_CERT }).logOn(PACK, "alice", "right")).status).toBe(401);
    const careless = await windowsOrigin({
      "authentication.windows.extendedProtection.tokenChecking": "None",
    });
    expect((await new Lane(careless, { boundTo: OTHER_CERT }).logOn(PACK, "alice", "right")).status).toBe(
      200,
    );
  });

  it("lets the body of a refused request go by, and ends a connection that brings too much", async () => {
    const origin = await windowsOrigin();
    const lane = new Lane(origin);
    const refused = await lane.ask(PACK, { "content-length": 1_000_000 }, "POST", Buffer.alloc(1_000_000));
    expect([refused.status, refused.challenges.length]).toEqual([401, 3]);
    const chunked = await lane.ask(PACK, { "transfer-encoding": "chunked" }, "POST", Buffer.alloc(1_000_000));
    expect([chunked.status, chunked.localPort]).toEqual([401, refused.localPort]);
    const { hostname, port } = new URL(origin.origin.urls.find((u) => u.startsWith("http:")) ?? "");
    const socket = connect({ host: hostname, port: Number(port) });
    onTestFinished(() => void socket.destroy());
    socket.on("error", () => {});
    socket.write(`POST ${PACK} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`);
    const chunk = Buffer.concat([Buffer.from("100000\r\n"), Buffer.alloc(0x100000), Buffer.from("\r\n")]);
    let sent = 0;
    const more = (): void => {
      while (!socket.destroyed && sent < 64 && socket.write(chunk)) sent += 1;
    };
    socket.on("drain", more);
    more();
    await new Promise((resolve) => socket.once("close", resolve));
    expect(sent).toBeLessThan(64);
  });

  it("answers tokens of 40 KB with 401, and what is beyond 64 KiB with 431", async () => {
    const origin = await windowsOrigin();
    const lane = new Lane(origin);
    expect((await lane.ask(PACK, { authorization: `Negotiate ${"YIIB".repeat(10_000)}` })).status).toBe(401);
    expect((await lane.ask(PACK, { authorization: `Negotiate ${"YIIB".repeat(17_500)}` })).status).toBe(431);
  });

  it("writes who it was into the request log, and why not", async () => {
    const origin = await windowsOrigin();
    const lane = new Lane(origin);
    await lane.ask(PACK, { "user-agent": "first" });
    await lane.logOn(PACK, "alice", "wrong");
    await lane.logOn(PACK, "alice", "right");
    await lane.logOn(PACK, "carol", "noread");
    const lines = (await requestLog(origin)).filter((line) => line.includes(PACK)).slice(-7);
    // cs-username, sc-status, sc-substatus
    expect(lines.map((line) => [7, 10, 11].map((i) => line.split(" ")[i]).join(" "))).toEqual([
      "- 401 2",
      "- 401 1",
      "- 401 1",
      "- 401 1",
      "alice 200 0",
      "- 401 1",
      "carol 403 2",
    ]);
  });

  it("writes logons into the audit log, once per connection, without secrets", async () => {
    const origin = await windowsOrigin();
    const lane = new Lane(origin);
    await lane.logOn(PACK, "bob", "wrong");
    await lane.logOn(PACK, "bob", "builder");
    await lane.ask(PACK);
    const other = new Lane(origin);
    for (let i = 0; i < 3; i += 1) await other.ask(PACK, basic("bob", "builder"));
    await origin.origin.close();
    const text = readFileSync(join(origin.state, "audit.ndjson"), "utf8");
    const logons = text
      .split("\n")
      .filter((line) => line.includes('"bob"'))
      .map((line): unknown => JSON.parse(line.replace(/"time":"[^"]+",/, "")));
    expect(logons).toEqual([
      {
        action: "logon",
        outcome: "failure",
        user: "bob",
        address: "127.0.0.1",
        method: "ntlm",
        status: "401.1",
        reason: "wrong password",
      },
      { action: "logon", outcome: "success", user: "bob", address: "127.0.0.1", method: "ntlm" },
      { action: "logon", outcome: "success", user: "bob", address: "127.0.0.1", method: "basic" },
    ]);
    expect(text).not.toContain("builder");
  });

  it("takes a Basic credential for its own request only, however often it came before", async () => {
    const lane = new Lane(await windowsOrigin());
    for (let i = 0; i < 3; i += 1) {
      expect((await lane.ask(PACK, basic("alice", "right"))).status).toBe(200);
    }
    expect((await lane.ask(PACK)).status).toBe(401);
    expect((await lane.ask(PACK, basic("alice", "righT"))).status).toBe(401);
    expect((await lane.ask(PACK, basic("carol", "noread"))).status).toBe(403);
    expect((await lane.ask(PACK, basic("alice", "right"))).status).toBe(200);
    expect((await lane.logOn(PACK, "carol", "noread")).status).toBe(403);
    expect((await lane.ask(PACK, basic("alice", "right"))).status).toBe(200);
  });

  it("lets in whom a local group counts among its members, and takes changes of the group", async () => {
    const origin = await windowsOrigin({ "rights.read": ["alice", "operators"] });
    const file = join(origin.folder, "accounts.yaml");
    const lane = new Lane(origin);
    expect((await lane.logOn(PACK, "carol", "noread")).status).toBe(403);
    writeFileSync(file, `${readFileSync(file, "utf8")}groups: [{name: operators, members: [Carol]}]\n`);
    await eventually(async () => (await lane.ask(PACK)).status === 401);
    expect((await lane.logOn(PACK, "carol", "noread")).status).toBe(200);
    expect((await lane.ask(PACK)).status).toBe(200);
    await addAccount(file, "bob", "changed");
    expect(readFileSync(file, "utf8")).toContain('{name: "operators", members: ["Carol"]}');
  });

  it("counts wrong passwords of NTLM and Basic together", async () => {
    const origin = await windowsOrigin({ "authentication.lockout.threshold": 2 });
    const lane = new Lane(origin);
    expect((await lane.logOn(PACK, "alice", "wrong")).status).toBe(401);
    expect((await lane.ask(PACK, basic("alice", "wrong 2"))).status).toBe(401);
    expect((await lane.logOn(PACK, "alice", "right")).status).toBe(429);
    expect((await lane.ask(PACK, basic("alice", "right"))).status).toBe(429);
  });

  it("asks everybody anew when accounts have changed, and tells the nameless from those without a right", async () => {
    const origin = await windowsOrigin({ "authentication.anonymous.enabled": true });
    const lane = new Lane(origin);
    expect((await lane.ask(PACK)).challenges).toHaveLength(3);
    expect((await lane.logOn(PACK, "alice", "right")).status).toBe(200);
    await addAccount(join(origin.folder, "accounts.yaml"), "alice", "changed");
    await eventually(async () => (await lane.ask(PACK)).status === 401);
    expect((await lane.logOn(PACK, "alice", "right")).status).toBe(401);
    expect((await lane.logOn(PACK, "alice", "changed")).status).toBe(200);
  });
});

describe("requests sent ahead", () => {
  it("wait for the logon before them, and count as its user only when it was right", async () => {
    const origin = await windowsOrigin();
    const { hostname, port } = new URL(origin.origin.urls.find((u) => u.startsWith("http:")) ?? "");
    for (const [user, password, status] of [
      ["alice", "right", 206],
      ["alice", "wrong", 401],
      ["carol", "noread", 403],
    ] as const) {
      const socket = connect({ host: hostname, port: Number(port) });
      onTestFinished(() => void socket.destroy());
      const text = { all: "" };
      socket.setEncoding("latin1").on("data", (chunk: string) => {
        text.all += chunk;
      });
      const handshake = rawHandshake(PACK);
      socket.write(handshake.first);
      await eventually(() => text.all.includes("\r\n\r\n"));
      const third = handshake.answer(text.all, user, password);
      const ahead = `GET ${PACK} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-0\r\n`;
      socket.write(`${ahead}Authorization: ${third}\r\n\r\n${`${ahead}\r\n`.repeat(5)}`);
      await eventually(() => statuses(text.all).length === 7);
      expect(statuses(text.all)).toEqual([401, ...Array.from({ length: 6 }, () => status)]);
      socket.destroy();
    }
  });
});

describe("the domain by winbind", () => {
  it("that does not answer is 503 with Retry-After, and no wrong password", async () => {
    const origin = await windowsOrigin(domain("dies"));
    const lane = new Lane(origin);
    const { answer } = await lane.begin(PACK);
    const failed = await lane.ask(PACK, { authorization: answer("dora", "pw", "MEDV") });
    expect([failed.status, failed.challenges]).toEqual([503, []]);
    expect(Number(failed.headers["retry-after"])).toBeGreaterThan(0);
    expect(JSON.parse(failed.body.toString())).toMatchObject({ code: "ERR_AUTH_UNAVAILABLE" });
    // Local accounts go on.
    expect((await lane.logOn(PACK, "alice", "right")).status).toBe(200);
  });

  it("judges names that are not local", async () => {
    const lane = new Lane(await windowsOrigin(domain("ntlm")));
    expect((await lane.logOn(PACK, "alice", "right")).status).toBe(200);
    expect((await lane.logOn(PACK, "dora", "pw")).status).toBe(401);
  });

  it("judges passwords of Basic", async () => {
    const origin = await windowsOrigin(domain("ntlm"));
    expect((await origin.get(PACK, basic("MEDV\\dora", "pw"))).status).toBe(200);
    expect((await origin.get(PACK, basic("dora@medv", "pw"))).status).toBe(200);
    expect((await origin.get(PACK, basic("MEDV\\erin", "pw"))).status).toBe(403);
    expect((await origin.get(PACK, basic("MEDV\\dora", "wrong"))).status).toBe(401);
    // The domain's alice is not the local one.
    expect((await origin.get(PACK, basic("MEDV\\alice", "pw"))).status).toBe(403);
    expect((await origin.get(PACK, basic("alice", "right"))).status).toBe(200);
  });
});

function domain(mode: string) {
  return {
    "authentication.logon.domain": "winbind",
    "authentication.logon.ntlmAuth": [process.execPath, FAKE, mode],
    "authentication.windows.netbiosDomain": "MEDV",
    "rights.read": ["alice", "MEDV\\dora"],
  };
}

function statuses(text: string): readonly number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((m) => Number(m[1]));
}
