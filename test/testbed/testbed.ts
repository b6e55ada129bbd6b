import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { mustRun } from "./run-program.js";

const SAMBA = fileURLToPath(new URL("samba-dc.sh", import.meta.url));
const KDC = fileURLToPath(new URL("krb5-kdc.sh", import.meta.url));

/** A domain is provisioned in 9 s on an idle machine. */
const START_TIMEOUT_MS = 120_000;
/** Longer than the scripts wait before they use SIGKILL. */
const STOP_TIMEOUT_MS = 20_000;
/** Ports and addresses that another process took between the look and the start. */
const START_ATTEMPTS = 5;

/** A server that issues Kerberos tickets. */
export interface TicketServer {
  readonly folder: string;
  /** For processes that use it: KRB5_CONFIG, KRB5_KTNAME (the keytab of HTTP/localhost), KRB5_REALM … */
  readonly env: Readonly<Record<string, string>>;
  /**
   * Logs a user on.
   * @returns variables for the user's programs: KRB5_CONFIG and a KRB5CCNAME of this logon alone
   */
  ticket(account: string, password: string): Promise<Readonly<Record<string, string>>>;
  /** Ends it and removes its folder. Safe to call twice. */
  stop(): Promise<void>;
}

export interface DomainController extends TicketServer {
  /** The loopback address on which it serves LDAP(S), Kerberos, DNS and SMB. */
  readonly ip: string;
  /** NetBIOS name. */
  readonly domain: string;
  readonly ldapsUrl: string;
  /** CA certificate of LDAPS, a PEM file. */
  readonly ldapCa: string;
  /** Samba's ntlm_auth, bound to this domain's winbindd. */
  readonly ntlmAuth: string;
  /** samba-tool: `user`, `group`, `spn` … */
  tool(...args: readonly string[]): Promise<string>;
  /** Changes the directory's database. */
  modify(ldif: string): Promise<void>;
}

interface UserEntry {
  readonly account: string;
  readonly password: string;
}

const DEFAULT_USERS: readonly UserEntry[] = [
  { account: "alice", password: "Alice-Pw1" },
  { account: "bob", password: "Bob-Pw1" },
];

const userFlags = (users: readonly UserEntry[]): string[] =>
  users.flatMap(({ account, password }) => ["--user", `${account}:${password}`]);

/** An Active Directory domain MEDV (MEDV.TEST) in one Samba server. Needs root; about 13 s. */
export async function startDomainController(
  users: readonly UserEntry[] = DEFAULT_USERS,
): Promise<DomainController> {
  const {
    folder,
    env,
    stop,
    value: ip,
  } = await start(SAMBA, loopbackAddress, (address) => ["--ip", address, ...userFlags(users)]);
  return {
    ...ticketServer(SAMBA, folder, env, stop),
    ip,
    domain: variable(env, "AD_DOMAIN"),
    ldapsUrl: variable(env, "LDAPS_URL"),
    ldapCa: variable(env, "LDAP_CA"),
    ntlmAuth: variable(env, "NTLM_AUTH"),
    tool: (...args) => mustRun(SAMBA, ["tool", folder, ...args]),
    async modify(ldif) {
      await mustRun(SAMBA, ["modify", folder], { input: ldif });
    },
  };
}

/** A KDC of MIT Kerberos for the realm MEDV.TEST. Needs no root; 0.2 s. */
export async function startKdc(users: readonly UserEntry[] = DEFAULT_USERS): Promise<TicketServer> {
  const { folder, env, stop } = await start(KDC, freePort, (port) => [
    "--port",
    String(port),
    ...userFlags(users),
  ]);
  return ticketServer(KDC, folder, env, stop);
}

function ticketServer(
  script: string,
  folder: string,
  env: Readonly<Record<string, string>>,
  stop: () => Promise<void>,
): TicketServer {
  let tickets = 0;
  return {
    folder,
    env,
    async ticket(account, password) {
      tickets += 1;
      const cache = join(folder, `ccache-${account}-${tickets}`);
      await mustRun(script, ["ticket", folder, account, password, cache]);
      return { KRB5_CONFIG: variable(env, "KRB5_CONFIG"), KRB5CCNAME: `FILE:${cache}` };
    },
    stop,
  };
}

interface Started<T> {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly value: T;
  readonly stop: () => Promise<void>;
}

async function start<T>(
  script: string,
  choose: () => Promise<T>,
  flagsFor: (chosen: T) => readonly string[],
): Promise<Started<T>> {
  for (let attempt = 1; ; attempt += 1) {
    // A short path: it holds unix sockets.
    const folder = mkdtempSync(join(tmpdir(), "ckdc-"));
    const stop = destroyWithUs(script, folder);
    try {
      const value = await choose();
      const out = await mustRun(script, ["start", folder, ...flagsFor(value)], {
        timeoutMs: START_TIMEOUT_MS,
      });
      return { folder, env: parseVariables(out), value, stop };
    } catch (err) {
      await stop();
      const isTaken = err instanceof Error && /already listens|did not answer|exited/.test(err.message);
      if (!isTaken || attempt === START_ATTEMPTS) throw err;
    }
  }
}

/** The server is destroyed by a process of its own when we ask or when this process ends in any way. */
function destroyWithUs(script: string, folder: string): () => Promise<void> {
  const guard = spawn("sh", ["-c", `cat >/dev/null; exec "$0" destroy "$1"`, script, folder], {
    stdio: ["pipe", "ignore", "inherit"],
    // Of its own group: an interrupt at the terminal does not reach it.
    detached: true,
  });
  const gone = once(guard, "exit");
  guard.unref();
  return async () => {
    guard.stdin.end();
    await withTimeout(gone, STOP_TIMEOUT_MS, guard);
  };
}

async function withTimeout(done: Promise<unknown>, ms: number, child: ChildProcess): Promise<void> {
  const timer = setTimeout(() => child.kill("SIGKILL"), ms);
  await done;
  clearTimeout(timer);
}

/** Any of 127.0.0.0/8 belongs to this machine: a domain's ports are fixed, so its address is free. */
function loopbackAddress(): Promise<string> {
  return Promise.resolve(["127", ...Array.from({ length: 3 }, () => String(randomInt(1, 255)))].join("."));
}

/** A TCP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string")
    throw new Error("unreachable: a TCP server has a port");
  return address.port;
}

function parseVariables(out: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    [...out.matchAll(/^([A-Z][A-Z0-9_]*)=(.*)$/gm)].map(([, name, value]) => [name, value]),
  );
}

function variable(env: Readonly<Record<string, string>>, name: string): string {
  const value = env[name];
  if (value === undefined) throw new Error(`the server's script printed no ${name}`);
  return value;
}
