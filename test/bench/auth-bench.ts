/* oxlint-disable eslint/no-console -- a bench speaks */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  answerNtlmChallenge,
  makeNtlmNegotiate,
  unwrapNtlmChallenge,
  wrapNtlmAnswer,
  wrapNtlmNegotiate,
} from "@ckmesh/auth";
import { MIB } from "@ckmesh/core";
import { processUsage } from "../lab/process-usage.js";
import { captureKerberosToken } from "../testbed/capture-token.js";
import { whyNot } from "../testbed/foreign.js";
import { kerberosModule } from "../testbed/kerberos-module.js";
import { ALICE, writeAccounts } from "../testbed/local-accounts.js";
import { logOn, type NtlmScheme } from "../testbed/ntlm-handshake.js";
import { OriginUnderTest } from "../testbed/origin-under-test.js";
import { RawConnection } from "../testbed/raw-connection.js";
import { startKdc, type TicketServer } from "../testbed/testbed.js";
import { type Ask, RangeLoad } from "./range-load.js";

/**
 * What a logon costs: ranges of 64 KiB per second on kept connections by each method beside anonymous ones of the
 * same origin, in turns, and handshakes per second:
 * `npx tsx --conditions=ckmesh-src test/bench/auth-bench.ts [--rounds 5] [--seconds 1] [--connections 8]`, after a build.
 * The origin runs on core 0, the load on the others. Goal: 0.9 of anonymous.
 */
const { values: args } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "1" },
    connections: { type: "string", default: "8" },
  },
});
const GOAL = 0.9;
const RANGE = "Range: bytes=65536-131071";
const HANDSHAKES = 400;
/** GSS_MECH_OID_SPNEGO of the package kerberos. */
const SPNEGO_OID = 6;
const START_TIMEOUT_MS = 30_000;

interface Method {
  readonly name: string;
  readonly load: RangeLoad;
  readonly perSecond: number[];
  /** ms of the origin's CPU per thousand ranges. */
  readonly cpuMs: number[];
}

const folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "ckmesh-bench-"));
let [kdc, origin]: [TicketServer | undefined, OriginUnderTest | undefined] = [undefined, undefined];
try {
  const kerberos = whyNot("Kerberos", ["kdc", "curl"]) === undefined ? await kerberosModule() : undefined;
  const env = kerberos?.type === "there" ? kerberos.env : {};
  if (kerberos?.type === "there") kdc = await startKdc();
  origin = await start(kdc, env);
  await benchRanges(origin, kdc);
  for (const scheme of ["NTLM", "Negotiate"] as const) {
    const name = scheme === "NTLM" ? "NTLM" : "NTLM inside Negotiate";
    say(name, await ntlmHandshakes(origin, scheme));
  }
  if (kdc !== undefined) say("Kerberos", await kerberosHandshakes(origin, kdc, env));
} finally {
  await origin?.stop();
  await kdc?.stop();
  rmSync(folder, { recursive: true, force: true });
}

async function start(
  realm: TicketServer | undefined,
  env: Readonly<Record<string, string>>,
): Promise<OriginUnderTest> {
  const kerberos = realm && { keytab: realm.env["KRB5_KTNAME"], realms: [realm.env["KRB5_REALM"]] };
  const started = await OriginUnderTest.start(
    {
      folder,
      diskBytes: 8 * MIB,
      authentication: {
        anonymous: { enabled: true },
        basic: { enabled: true, allowOverHttp: true },
        accountsFile: await writeAccounts(folder),
        windows: { enabled: true, netbiosDomain: "MEDV", ...(kerberos && { kerberos }) },
      },
      env: { ...env, ...(realm && { KRB5_CONFIG: realm.env["KRB5_CONFIG"] ?? "" }) },
    },
    AbortSignal.timeout(START_TIMEOUT_MS),
  );
  execFileSync("taskset", ["-a", "-p", "-c", "0", String(started.pid)], { stdio: "ignore" });
  execFileSync("taskset", ["-a", "-p", "-c", "1", String(process.pid)], { stdio: "ignore" });
  return started;
}

async function benchRanges(server: OriginUnderTest, realm: TicketServer | undefined): Promise<void> {
  const methods = await openMethods(server, realm);
  const seconds = Number(args.seconds);
  for (const { load } of methods) await load.run(seconds * 1000); // oxlint-disable-line no-await-in-loop -- warms up
  for (let round = 0; round < Number(args.rounds); round += 1) {
    for (const { load, perSecond, cpuMs } of methods) {
      const before = processUsage(server.pid)?.cpuSeconds ?? 0;
      const rate = await load.run(seconds * 1000); // oxlint-disable-line no-await-in-loop -- in turns
      const cpu = (processUsage(server.pid)?.cpuSeconds ?? 0) - before;
      perSecond.push(rate);
      cpuMs.push((cpu * 1e6) / (rate * seconds));
    }
  }
  const [anonymous] = methods;
  if (anonymous === undefined) throw new Error("unreachable: the first method is none");
  console.log("method | ranges/s | to anonymous | CPU ms per 1000 | goal");
  for (const { name, load, perSecond, cpuMs } of methods) {
    load.close();
    const ratio = median(perSecond) / median(anonymous.perSecond);
    const verdict = ratio >= GOAL ? "reached" : "MISSED";
    const figures = [median(perSecond).toFixed(0), ratio.toFixed(2), median(cpuMs).toFixed(0), verdict];
    console.log([name, ...figures].join(" | "));
  }
}

async function openMethods(server: OriginUnderTest, realm: TicketServer | undefined): Promise<Method[]> {
  const connections = Number(args.connections);
  const open = async (
    name: string,
    each: readonly string[],
    first?: (ask: Ask) => Promise<void>,
  ): Promise<Method> => ({
    name,
    load: await RangeLoad.open(server.packUrl, connections, [RANGE, ...each], first),
    perSecond: [],
    cpuMs: [],
  });
  const basic = Buffer.from(`${ALICE.account}:${ALICE.password}`).toString("base64");
  const methods = [
    await open("anonymous", []),
    await open("Basic", [`Authorization: Basic ${basic}`]),
    await open("NTLM", [], async (ask) => askNtlm(ask, "NTLM")),
    await open("Negotiate with NTLM", [], async (ask) => askNtlm(ask, "Negotiate")),
  ];
  if (realm !== undefined) {
    const ticket = await realm.ticket(ALICE.account, ALICE.password);
    const first = async (ask: Ask): Promise<void> => {
      const token = await captureKerberosToken(ticket);
      mustStart(await ask([RANGE, `Authorization: Negotiate ${token.toString("base64")}`]), 206);
    };
    methods.push(await open("Negotiate with Kerberos", [], first));
  }
  return methods;
}

async function askNtlm(ask: Ask, scheme: NtlmScheme): Promise<void> {
  const negotiate = makeNtlmNegotiate();
  const header = (token: Uint8Array): string =>
    `Authorization: ${scheme} ${Buffer.from(token).toString("base64")}`;
  const head = await ask([header(scheme === "NTLM" ? negotiate : wrapNtlmNegotiate(negotiate))]);
  mustStart(head, 401);
  const token = new RegExp(`^www-authenticate: ${scheme} (\\S+)`, "im").exec(head)?.[1] ?? "";
  const bytes = Buffer.from(token, "base64");
  const challenge = scheme === "NTLM" ? bytes : unwrapNtlmChallenge(bytes);
  const answer =
    challenge &&
    answerNtlmChallenge({
      negotiate,
      challenge,
      credentials: { account: ALICE.account, domain: "", password: ALICE.password },
      servicePrincipal: "HTTP/localhost",
      randomBytes: (count) => new Uint8Array(randomBytes(count)),
      wall: Date.now(),
    });
  if (answer === undefined) throw new Error(`no challenge: ${head}`);
  mustStart(await ask([RANGE, header(scheme === "NTLM" ? answer.message : wrapNtlmAnswer(answer))]), 206);
}

/** Handshakes one after the other. */
async function ntlmHandshakes(server: OriginUnderTest, scheme: NtlmScheme): Promise<number> {
  const connection = await RawConnection.open({ url: server.httpUrl });
  const startMs = performance.now();
  for (let n = 0; n < HANDSHAKES; n += 1) {
    const { status } = await logOn(connection, server.packPath, scheme, ALICE); // oxlint-disable-line no-await-in-loop
    if (status !== 206) throw new Error(`a handshake ended with ${status}`);
  }
  connection.close();
  return (HANDSHAKES * 1000) / (performance.now() - startMs);
}

/** Tickets one after the other; the tokens are made before. */
async function kerberosHandshakes(
  server: OriginUnderTest,
  realm: TicketServer,
  env: Readonly<Record<string, string>>,
): Promise<number> {
  // The library reads them when it is first used.
  Object.assign(process.env, await realm.ticket(ALICE.account, ALICE.password));
  const tokens: string[] = [];
  for (let n = 0; n < HANDSHAKES; n += 1) tokens.push(await kerberosToken(`${env["NODE_PATH"]}/`)); // oxlint-disable-line no-await-in-loop
  const connection = await RawConnection.open({ url: server.httpUrl });
  const startMs = performance.now();
  for (const token of tokens) {
    const { status } = await connection.get(server.packPath, [RANGE, `Authorization: Negotiate ${token}`]); // oxlint-disable-line no-await-in-loop
    if (status !== 206) throw new Error(`a ticket was answered ${status}`);
  }
  connection.close();
  return (HANDSHAKES * 1000) / (performance.now() - startMs);
}

async function kerberosToken(modules: string): Promise<string> {
  const kerberos: unknown = createRequire(modules)("kerberos");
  const made: unknown = await call(kerberos, "initializeClient", "HTTP@localhost", { mechOID: SPNEGO_OID });
  return String(await call(made, "step", ""));
}

async function call(on: unknown, name: string, ...values: readonly unknown[]): Promise<unknown> {
  const method: unknown = Reflect.get(Object(on), name);
  if (typeof method !== "function") throw new Error(`the package kerberos has no ${name}`);
  return Reflect.apply(method, on, values);
}

function say(name: string, perSecond: number): void {
  console.log(`${name}: ${perSecond.toFixed(0)} handshakes/s on one connection`);
}

function mustStart(head: string, status: number): void {
  if (!head.startsWith(`HTTP/1.1 ${status}`)) throw new Error(`not ${status}: ${head}`);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
