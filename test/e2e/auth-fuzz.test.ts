import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "@ckmesh/core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { residentMib } from "../lab/process-usage.js";
import { captureKerberosToken } from "../testbed/capture-token.js";
import { whyNot } from "../testbed/foreign.js";
import { kerberosModule } from "../testbed/kerberos-module.js";
import { ALICE, writeAccounts } from "../testbed/local-accounts.js";
import { mutate } from "../testbed/mutate.js";
import { begin, firstToken, logOn, type NtlmScheme, present } from "../testbed/ntlm-handshake.js";
import { OriginUnderTest } from "../testbed/origin-under-test.js";
import { authorization, RawConnection } from "../testbed/raw-connection.js";
import { startKdc, type TicketServer } from "../testbed/testbed.js";

/* Tokens that no client sends, over real connections to the origin command: 401, 400 or 431, and memory stays flat. */
const START_TIMEOUT_MS = 60_000;
const FUZZ_TIMEOUT_MS = 150_000;
const MUTATIONS = 10_000;
const LANES = 8;
/** Of each address this many, then another one of loopback: from 100 wrong ones on, an address is locked. */
const TOKENS_PER_ADDRESS = 90;
/** What a heap may move between two looks; what leaks per token would be more than 5000 x 4 KiB. */
const MAX_GROWTH_MIB = 20;
const SEED = 4;
const REFUSED = new Set([400, 401, 431]);
const KIB = 1024;

const noKdc = whyNot("malformed Kerberos tokens", ["kdc", "curl"]);
let folder: string;
let origin: OriginUnderTest;
let kdc: TicketServer | undefined;
let kerberosToken: Buffer | undefined;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ckauth-"));
  const accountsFile = await writeAccounts(folder);
  const module = noKdc === undefined ? await kerberosModule() : undefined;
  const windows = { enabled: true, netbiosDomain: "MEDV" };
  if (module?.type === "there") {
    kdc = await startKdc();
    kerberosToken = await captureKerberosToken(await kdc.ticket("alice", "Alice-Pw1"));
    Object.assign(windows, { kerberos: { keytab: kdc.env["KRB5_KTNAME"], realms: [kdc.env["KRB5_REALM"]] } });
  }
  origin = await OriginUnderTest.start(
    {
      folder,
      authentication: {
        accountsFile,
        basic: { enabled: true, allowOverHttp: true },
        windows,
        lockout: { threshold: 1000, seconds: 1 },
      },
      rights: { read: ["alice", "MEDV\\alice"] },
      ...(kdc === undefined || module?.type !== "there"
        ? {}
        : { env: { ...module.env, KRB5_CONFIG: kdc.env["KRB5_CONFIG"] ?? "" } }),
    },
    AbortSignal.timeout(START_TIMEOUT_MS),
  );
}, FUZZ_TIMEOUT_MS);

afterAll(async () => {
  await origin?.stop();
  await kdc?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Connections from ever new addresses of loopback, for one lane of tokens. */
class Lane {
  readonly #network: number;
  readonly #n: number;
  #connection: RawConnection | undefined;
  #sent = 0;

  /** @param network of loopback, so that addresses are new: 127.network.n.x */
  constructor(network: number, n: number) {
    this.#network = network;
    this.#n = n;
  }

  async connection(): Promise<RawConnection> {
    if (this.#connection?.isOpen === true && this.#sent % TOKENS_PER_ADDRESS !== 0) {
      this.#sent += 1;
      return this.#connection;
    }
    this.#connection?.close();
    const address = 1 + Math.floor(this.#sent / TOKENS_PER_ADDRESS);
    this.#sent += 1;
    const localAddress = `127.${this.#network}.${this.#n}.${address}`;
    this.#connection = await RawConnection.open({ url: origin.httpUrl, localAddress });
    return this.#connection;
  }

  close(): void {
    this.#connection?.close();
  }
}

type Send = (connection: RawConnection, n: number) => Promise<number>;

/** The loopback network that was used last; 127.8 is for connections of the test itself. */
let networks = 8;

/** Sends what belongs to each number below `count`, over several connections; returns how often each status came. */
async function sendAll(count: number, send: Send): Promise<ReadonlyMap<number, number>> {
  const statuses = new Map<number, number>();
  let next = 0;
  networks += 1;
  const lanes = Array.from({ length: LANES }, (_, n) => new Lane(networks, n + 1));
  await Promise.all(
    lanes.map(async (lane) => {
      while (next < count) {
        const n = next;
        next += 1;
        const status = await send(await lane.connection(), n); // oxlint-disable-line no-await-in-loop -- one at a time on a connection
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
      lane.close();
    }),
  );
  return statuses;
}

/** The statuses that came, but for those of refusals. */
function accepted(statuses: ReadonlyMap<number, number>): readonly (readonly [number, number])[] {
  return [...statuses].filter(([status]) => !REFUSED.has(status));
}

/** Sends twice half of the mutations; what the origin's memory grew by in the second half, MiB. */
async function growthOf(send: Send): Promise<number> {
  expect(accepted(await sendAll(MUTATIONS / 2, send))).toEqual([]);
  const before = residentMib(origin.pid);
  expect(
    accepted(await sendAll(MUTATIONS / 2, (connection, n) => send(connection, n + MUTATIONS / 2))),
  ).toEqual([]);
  return residentMib(origin.pid) - before;
}

/** A damaged copy that depends on `n` alone, and differs. */
function damaged(token: Uint8Array, n: number): Uint8Array {
  const random = seededRandom(SEED + n);
  for (;;) {
    const copy = mutate(token, random);
    if (!Buffer.from(copy).equals(token)) return copy;
  }
}

async function statusOf(connection: RawConnection, scheme: string, token: Uint8Array): Promise<number> {
  return (await connection.get(origin.packPath, [authorization(scheme, token)])).status;
}

/**
 * Finishes a handshake with what `change` makes of its last token. What SPNEGO puts around the NTLM message may be
 * written in several ways: a token that still holds the whole message counts as one that was not damaged.
 */
function lastToken(scheme: NtlmScheme, change: (token: Uint8Array, n: number) => Uint8Array): Send {
  return async (connection, n) => {
    const token = Buffer.from(await begin(connection, origin.packPath, scheme, ALICE));
    const sent = Buffer.from(change(token, n));
    const { status } = await present(connection, origin.packPath, scheme, sent);
    return status === 206 && sent.includes(ntlmMessageIn(token)) ? 401 : status;
  };
}

/** From its signature on; what follows it in SPNEGO is the signature of the list of mechanisms. */
function ntlmMessageIn(token: Buffer): Buffer {
  const start = token.indexOf("NTLMSSP\0");
  const end = token.lastIndexOf(Buffer.from([0xa3, 0x12, 0x04, 0x10]));
  return token.subarray(start, end < 0 ? token.length : end);
}

const isAliceStillLetIn = async (): Promise<boolean> => {
  const connection = await RawConnection.open({ url: origin.httpUrl, localAddress: "127.8.0.1" });
  try {
    return (await logOn(connection, origin.packPath, "NTLM", ALICE)).status === 206;
  } finally {
    connection.close();
  }
};

describe.each(["NTLM", "Negotiate"] as const)("tokens of %s", (scheme) => {
  it("are refused when they end at any byte", async () => {
    const first = firstToken(scheme);
    const firsts = sendAll(first.length, (connection, n) =>
      statusOf(connection, scheme, first.subarray(0, n)),
    );
    expect(accepted(await firsts)).toEqual([]);
    const probe = await RawConnection.open({ url: origin.httpUrl, localAddress: "127.8.0.2" });
    const { length } = await begin(probe, origin.packPath, scheme, ALICE);
    probe.close();
    const cut = lastToken(scheme, (token, n) => token.subarray(0, n));
    expect(accepted(await sendAll(length, cut))).toEqual([]);
    expect(await isAliceStillLetIn()).toBe(true);
  });

  it(
    "are refused when 10,000 first messages are damaged, in flat memory",
    async () => {
      const first = firstToken(scheme);
      const growth = await growthOf((connection, n) => statusOf(connection, scheme, damaged(first, n)));
      expect(growth).toBeLessThan(MAX_GROWTH_MIB);
      expect(await isAliceStillLetIn()).toBe(true);
    },
    FUZZ_TIMEOUT_MS,
  );

  it(
    "are refused when 10,000 last messages are damaged, in flat memory",
    async () => {
      const growth = await growthOf(lastToken(scheme, damaged));
      expect(growth).toBeLessThan(MAX_GROWTH_MIB);
      expect(await isAliceStillLetIn()).toBe(true);
    },
    FUZZ_TIMEOUT_MS,
  );
});

describe("a Kerberos token", () => {
  it(
    "is taken once, and refused when it comes again, ends at any byte, or is damaged in 10,000 ways",
    async ({ skip }) => {
      if (kerberosToken === undefined) return skip(noKdc ?? "there is no npm package kerberos");
      const token = kerberosToken;
      const client = await RawConnection.open({ url: origin.httpUrl });
      expect(await statusOf(client, "Negotiate", token)).toBe(200);
      expect(await statusOf(client, "Negotiate", token)).toBe(401);
      client.close();
      const prefixes = sendAll(token.length, (connection, n) =>
        statusOf(connection, "Negotiate", token.subarray(0, n)),
      );
      expect(accepted(await prefixes)).toEqual([]);
      const growth = await growthOf((connection, n) => statusOf(connection, "Negotiate", damaged(token, n)));
      expect(growth).toBeLessThan(MAX_GROWTH_MIB);
      expect(await isAliceStillLetIn()).toBe(true);
    },
    FUZZ_TIMEOUT_MS,
  );
});

it("Basic credentials are refused when they end at any byte or are damaged", async () => {
  const credentials = Buffer.from(`${ALICE.account}:${ALICE.password}`);
  const cut = await sendAll(credentials.length, (connection, n) =>
    statusOf(connection, "Basic", credentials.subarray(0, n)),
  );
  expect(accepted(cut)).toEqual([]);
});

it.each(["NTLM", "Negotiate", "Basic", "Bearer"])(
  "headers of 40 KB with %s are refused with 401, of 70 KB with 431",
  async (scheme) => {
    for (const [size, expected] of [
      [40 * KIB, 401],
      [70 * KIB, 431],
    ] as const) {
      for (const fill of [0, 0x30, 0x41, 0xff]) {
        const connection = await RawConnection.open({ url: origin.httpUrl });
        const token = Buffer.alloc((size / 4) * 3, fill);
        expect([size, fill, await statusOf(connection, scheme, token)]).toEqual([size, fill, expected]);
        connection.close();
      }
    }
  },
);

it.each([0x30, 0x60, 0xa0, 0xa1, 0x24])(
  "a token nested 10,000 times in DER elements %i is refused at once",
  async (tag) => {
    const connection = await RawConnection.open({ url: origin.httpUrl });
    let token: Buffer = Buffer.from([0x04, 0]);
    const layers: Buffer[] = [];
    for (let length = token.length, n = 0; n < 10_000 && length < 30 * KIB; n += 1) {
      const header =
        length < 0x80 ? Buffer.from([tag, length]) : Buffer.from([tag, 0x82, length >> 8, length & 0xff]);
      layers.unshift(header);
      length += header.length;
    }
    token = Buffer.concat([...layers, token]);
    const start = performance.now();
    expect(await statusOf(connection, "Negotiate", token)).toBe(401);
    const oid = Buffer.from("06062b0601050502", "hex");
    const body = Buffer.concat([oid, token]);
    const wrapped = Buffer.concat([Buffer.from([0x60, 0x82, body.length >> 8, body.length & 0xff]), body]);
    expect(await statusOf(connection, "Negotiate", wrapped)).toBe(401);
    expect(performance.now() - start).toBeLessThan(1000);
    connection.close();
  },
);
