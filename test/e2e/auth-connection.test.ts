import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { whyNot } from "../testbed/foreign.js";
import { ALICE, ALICE_ONLY, BOB, writeAccounts } from "../testbed/local-accounts.js";
import { answerTo, begin, firstToken, logOn, present } from "../testbed/ntlm-handshake.js";
import { OriginUnderTest } from "../testbed/origin-under-test.js";
import { authorization, RawConnection } from "../testbed/raw-connection.js";
import { type SharedProxy, startSharedProxy } from "../testbed/shared-proxy.js";

/*
 * Who a connection speaks for. alice may read (206), bob may not (403), nobody is asked for a logon (401): the
 * status says whom the origin took the sender for.
 */
const START_TIMEOUT_MS = 60_000;
const RANGE = "Range: bytes=0-1023";
const [IS_ALICE, IS_BOB, IS_NOBODY] = [206, 403, 401];
const CONNECTIONS = 100;
const PARKED = 300;
const SCHEMES = ["NTLM", "Negotiate"] as const;
const basic = (user: string, password: string): string =>
  authorization("Basic", Buffer.from(`${user}:${password}`));

let folder: string;
let origin: OriginUnderTest;
const open: RawConnection[] = [];

async function connect(url = origin.httpUrl): Promise<RawConnection> {
  const connection = await RawConnection.open({ url });
  open.push(connection);
  return connection;
}

const get = async (connection: RawConnection, headers: readonly string[] = []): Promise<number> =>
  (await connection.get(origin.packPath, [RANGE, ...headers])).status;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ckauth-"));
  const accountsFile = await writeAccounts(folder);
  origin = await OriginUnderTest.start(
    {
      folder,
      authentication: {
        accountsFile,
        basic: { enabled: true, allowOverHttp: true },
        windows: { enabled: true },
        lockout: { threshold: 1000, seconds: 1 },
      },
      rights: ALICE_ONLY,
    },
    AbortSignal.timeout(START_TIMEOUT_MS),
  );
}, START_TIMEOUT_MS);

afterAll(async () => {
  for (const connection of open) connection.close();
  await origin?.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe.each(SCHEMES)("an NTLM logon by %s", (scheme) => {
  it("counts for its connection, and for no other", async () => {
    const connection = await connect();
    expect((await logOn(connection, origin.packPath, scheme, ALICE)).status).toBe(IS_ALICE);
    expect(await get(connection)).toBe(IS_ALICE);
    expect(await get(await connect())).toBe(IS_NOBODY);
  });

  it("ends with the next Authorization header, right or wrong", async () => {
    const connection = await connect();
    for (const header of [
      basic("alice", "wrong"),
      "Authorization: Bearer x",
      "Authorization: NTLM !",
      "Authorization: ",
    ]) {
      expect((await logOn(connection, origin.packPath, scheme, ALICE)).status).toBe(IS_ALICE);
      expect([header, await get(connection, [header])]).toEqual([header, IS_NOBODY]);
      expect([header, await get(connection)]).toEqual([header, IS_NOBODY]);
    }
    expect((await logOn(connection, origin.packPath, scheme, ALICE)).status).toBe(IS_ALICE);
    expect(await get(connection, [basic("bob", BOB.password)])).toBe(IS_BOB);
    expect(await get(connection)).toBe(IS_NOBODY);
  });

  it("is refused when its last message is replayed, on its own connection and on another", async () => {
    const connection = await connect();
    const last = await begin(connection, origin.packPath, scheme, ALICE);
    expect((await present(connection, origin.packPath, scheme, last)).status).toBe(IS_ALICE);
    expect((await present(connection, origin.packPath, scheme, last)).status).toBe(IS_NOBODY);
    expect(await get(connection)).toBe(IS_NOBODY);
    await begin(connection, origin.packPath, scheme, ALICE);
    expect((await present(connection, origin.packPath, scheme, last)).status).toBe(IS_NOBODY);
    const other = await connect();
    await begin(other, origin.packPath, scheme, ALICE);
    expect((await present(other, origin.packPath, scheme, last)).status).toBe(IS_NOBODY);
  });

  it("belongs to the right user on each of 100 connections whose handshakes are interleaved", async () => {
    const users = Array.from({ length: CONNECTIONS }, (_, n) => (n % 2 === 0 ? ALICE : BOB));
    const connections = await Promise.all(users.map(async () => connect()));
    const tokens = await Promise.all(
      connections.map(async (connection, n) => begin(connection, origin.packPath, scheme, users[n] ?? ALICE)),
    );
    const answers = await Promise.all(
      connections
        .map((connection, n) => ({ connection, token: tokens[n] ?? new Uint8Array(0) }))
        .toReversed()
        .map(async ({ connection, token }) => present(connection, origin.packPath, scheme, token)),
    );
    const expected = users.map((user) => (user === ALICE ? IS_ALICE : IS_BOB));
    expect(answers.toReversed().map(({ status }) => status)).toEqual(expected);
    expect(await Promise.all(connections.map(async (connection) => get(connection)))).toEqual(expected);
  });

  it("is refused when the answer to one connection's challenge is given on another", async () => {
    const [a, b] = [await connect(), await connect()];
    const [forA, forB] = [
      await begin(a, origin.packPath, scheme, ALICE),
      await begin(b, origin.packPath, scheme, ALICE),
    ];
    expect((await present(a, origin.packPath, scheme, forB)).status).toBe(IS_NOBODY);
    expect((await present(b, origin.packPath, scheme, forA)).status).toBe(IS_NOBODY);
  });

  it("does not wait for 300 handshakes that nobody finishes", async () => {
    const parked = await Promise.all(Array.from({ length: PARKED }, async () => connect()));
    await Promise.all(parked.map(async (connection) => begin(connection, origin.packPath, scheme, ALICE)));
    expect((await logOn(await connect(), origin.packPath, scheme, ALICE)).status).toBe(IS_ALICE);
    for (const connection of parked) connection.close();
  });

  it("counts for a pipelined request behind it, and not for one before it", async () => {
    const connection = await connect();
    const last = await begin(connection, origin.packPath, scheme, ALICE);
    const answers = await Promise.all([
      get(connection),
      present(connection, origin.packPath, scheme, last).then(({ status }) => status),
      get(connection),
      get(connection, [basic("bob", BOB.password)]),
      get(connection),
    ]);
    // The request before it carries nothing: the handshake under way is not touched by it.
    expect(answers).toEqual([IS_NOBODY, IS_ALICE, IS_ALICE, IS_BOB, IS_NOBODY]);
  });

  it("outlives an Upgrade that is not offered, and nothing else does", async () => {
    const connection = await connect();
    expect((await logOn(connection, origin.packPath, scheme, ALICE)).status).toBe(IS_ALICE);
    const upgrade = [
      "Connection: Upgrade, HTTP2-Settings",
      "Upgrade: h2c",
      "HTTP2-Settings: AAMAAABkAAQAAP__",
    ];
    expect(await get(connection, upgrade)).toBe(IS_ALICE);
    expect(await get(await connect(), upgrade)).toBe(IS_NOBODY);
  });

  it("answers a POST with a body at the first message, and reads the body of none", async () => {
    const connection = await connect();
    const first = authorization(scheme, firstToken(scheme));
    const head = [
      `POST ${origin.packPath} HTTP/1.1`,
      "Host: localhost",
      first,
      "Content-Length: 5",
      "",
      "hello",
    ];
    const answer = await connection.send(head.join("\r\n"));
    expect(answer.status).toBe(IS_NOBODY);
    const token = answerTo(answer, scheme, ALICE);
    expect((await present(connection, origin.packPath, scheme, token)).status).toBe(IS_ALICE);
  });
});

const noProxy = whyNot("a proxy that shares connections", ["nginx"]);

describe
  .skipIf(noProxy !== undefined)
  .each([["X-Forwarded-For $remote_addr"], ["Via '1.1 shared'"], ["Forwarded for=$remote_addr"]])(
  "behind a proxy that shares its connection and says so by %s",
  (header) => {
    let proxy: SharedProxy;
    beforeAll(async () => {
      proxy = await startSharedProxy(origin.httpUrl, [header]);
    });
    afterAll(() => proxy?.stop());

    it.each(SCHEMES)("nobody gets what the user before was given by %s", async (scheme) => {
      const [a, b] = [await connect(proxy.url), await connect(proxy.url)];
      expect((await logOn(a, origin.packPath, scheme, ALICE)).status).toBe(IS_ALICE);
      expect([await get(b), await get(a)]).toEqual([IS_NOBODY, IS_NOBODY]);
      expect(await get(b, [basic("bob", BOB.password)])).toBe(IS_BOB);
      expect(await get(a)).toBe(IS_NOBODY);
      // Two handshakes on the one connection behind: at most one can be finished, and by its own user.
      const forAlice = await begin(a, origin.packPath, scheme, ALICE);
      const forBob = await begin(b, origin.packPath, scheme, BOB);
      expect((await present(a, origin.packPath, scheme, forAlice)).status).toBe(IS_NOBODY);
      expect([IS_BOB, IS_NOBODY]).toContain((await present(b, origin.packPath, scheme, forBob)).status);
    });

    it("Basic counts for its own request only", async () => {
      const [a, b] = [await connect(proxy.url), await connect(proxy.url)];
      expect(await get(a, [basic("alice", ALICE.password)])).toBe(IS_ALICE);
      expect([await get(b), await get(a)]).toEqual([IS_NOBODY, IS_NOBODY]);
    });
  },
);

describe("with authPersistSingleRequest", () => {
  it("a logon counts for its own request only", async () => {
    const own = join(folder, "single");
    mkdirSync(own);
    const single = await OriginUnderTest.start(
      {
        folder: own,
        authentication: {
          accountsFile: await writeAccounts(own),
          windows: { enabled: true, authPersistSingleRequest: true },
        },
        rights: ALICE_ONLY,
      },
      AbortSignal.timeout(START_TIMEOUT_MS),
    );
    try {
      const connection = await connect(single.httpUrl);
      expect((await logOn(connection, single.packPath, "NTLM", ALICE)).status).toBe(IS_ALICE);
      expect(await get(connection)).toBe(IS_NOBODY);
      expect((await logOn(connection, single.packPath, "NTLM", BOB)).status).toBe(IS_BOB);
    } finally {
      await single.stop();
    }
  });
});
