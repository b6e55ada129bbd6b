import { mkdirSync, readFileSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import { Socket } from "node:net";
import { join } from "node:path";
import { Authenticator, type AuthScheme } from "@ckmesh/auth";
import type { BitsAnswer } from "@ckmesh/bits";
import { AppError, type Clock, noMetrics, silentLogger } from "@ckmesh/core";
import { systemClock } from "@ckmesh/runtime";
import { onTestFinished } from "vitest";
import { Access } from "../../src/access/access.js";
import { plainEntrance } from "../../src/access/entrance.js";
import { NetworkList } from "../../src/access/network-list.js";
import { createBitsEndpoint } from "../../src/bits/bits-endpoint.js";
import type { BitsHandler, BitsRequest } from "../../src/bits/bits-request.js";
import { type BitsSettings, bitsSettings } from "../../src/bits/bits-settings.js";
import { UploadAudit } from "../../src/bits/upload-audit.js";
import { UploadNotifier } from "../../src/bits/upload-notifier.js";
import { UploadSessions } from "../../src/bits/upload-sessions.js";
import { type BitsConfig, bitsDefaults } from "../../src/config/bits-schema.js";
import { LogonAudit } from "../../src/logon/logon-audit.js";
import type { AuditEntry } from "../../src/logs/audit-log.js";
import { temporaryFolder } from "../origin-fixture.js";
import { MemoryIntake } from "./memory-intake.js";

export const BITS = "{7df0354d-249b-430f-820d-3d2a9bef4931}";
export const CHALLENGE = 'Basic realm="test"';
const URL_PATH = "/MEDVImages/win7_1.ckm";

type Body = Iterable<Buffer> | AsyncIterable<Buffer>;

interface PacketOptions {
  readonly type?: string;
  readonly target?: string;
  /** Null: nobody known. */
  readonly user?: string | null;
  readonly headers?: IncomingHttpHeaders;
  readonly body?: Body;
  /** Null: not said. */
  readonly contentLength?: number | null;
}

export interface TestUploads {
  readonly staging: string;
  readonly intake: MemoryIntake;
  readonly sessions: UploadSessions;
  readonly audit: readonly AuditEntry[];
  configure(bits: Partial<BitsConfig>): void;
  send(packet: PacketOptions): Promise<BitsAnswer>;
  /** @returns the session's id */
  create(packet?: PacketOptions): Promise<string>;
  fragment(
    id: string,
    first: number,
    bytes: Buffer,
    total: number,
    packet?: PacketOptions,
  ): Promise<BitsAnswer>;
  close(id: string, packet?: PacketOptions): Promise<BitsAnswer>;
  published(fileName: string): Buffer;
}

export interface TestUploadsOptions {
  readonly bits?: Partial<BitsConfig>;
  readonly clock?: Clock;
  /** Goes on where another one ended. */
  readonly before?: TestUploads;
}

/** The endpoint with its sessions on disk and an intake in memory. */
export async function startUploads(options: TestUploadsOptions = {}): Promise<TestUploads> {
  const staging = options.before?.staging ?? join(temporaryFolder(), "uploads");
  const intake = options.before?.intake ?? new MemoryIntake(join(temporaryFolder(), "published"));
  const clock = options.clock ?? systemClock;
  let settings = settingsOf(options.bits);
  const audit: AuditEntry[] = [];
  const uploadAudit = new UploadAudit({ write: (entry) => audit.push(entry) }, clock);
  mkdirSync(staging, { recursive: true });
  const notifier = new UploadNotifier({
    settings: () => settings.notification,
    directoryName: "MEDVImages",
    logger: silentLogger,
  });
  const sessions = await UploadSessions.open({
    stagingPath: staging,
    settings: () => settings,
    intake,
    notify: (session, request) => notifier.notify(session, request),
    audit: uploadAudit,
    clock,
    logger: silentLogger,
    metrics: noMetrics,
  });
  onTestFinished(() => sessions.stop(1000));
  const handler = createBitsEndpoint({
    access: trustingAccess(clock),
    settings: () => settings,
    sessions,
    intake,
    audit: uploadAudit,
    directoryName: "MEDVImages",
    logger: silentLogger,
  });
  const send = (packet: PacketOptions) => sendPacket(handler, packet);
  return {
    staging,
    intake,
    sessions,
    audit,
    configure: (bits) => {
      settings = settingsOf(bits);
      sessions.settingsChanged();
    },
    send,
    create: async (packet = {}) => {
      const answer = await send({ type: "Create-Session", ...packet });
      if (answer.status !== 200) throw new Error(`Create-Session was answered ${answer.status}`);
      return String(answer.headers["BITS-Session-Id"]);
    },
    fragment: (id, first, bytes, total, packet = {}) =>
      send({
        type: "Fragment",
        body: [bytes],
        contentLength: bytes.length,
        ...packet,
        headers: {
          "bits-session-id": id,
          "content-range": `bytes ${first}-${first + bytes.length - 1}/${total}`,
          ...packet.headers,
        },
      }),
    close: (id, packet = {}) =>
      send({ type: "Close-Session", ...packet, headers: { "bits-session-id": id, ...packet.headers } }),
    published: (fileName) => readFileSync(intake.path(fileName)),
  };
}

function settingsOf(bits: Partial<BitsConfig> = {}): BitsSettings {
  return bitsSettings({ ...bitsDefaults, BITSUploadEnabled: true, freeSpaceReserve: "", ...bits });
}

async function sendPacket(handler: BitsHandler, packet: PacketOptions): Promise<BitsAnswer> {
  const {
    type = "Ping",
    target = URL_PATH,
    user = "alice",
    headers = {},
    body = [],
    contentLength = 0,
  } = packet;
  const request: BitsRequest = {
    socket: new Socket(),
    target,
    headers: {
      "bits-packet-type": type,
      ...(type.toLowerCase() === "create-session" ? { "bits-supported-protocols": BITS } : {}),
      ...(user === null ? {} : { authorization: `Basic ${Buffer.from(user).toString("base64")}` }),
      ...headers,
    },
    contentLength: contentLength ?? undefined,
    signal: new AbortController().signal,
    facts: { visitor: undefined, subStatus: 0 },
    read: reader(body),
  };
  return handler(request, plainEntrance());
}

function reader(body: Body): BitsRequest["read"] {
  const chunks = Symbol.asyncIterator in body ? body[Symbol.asyncIterator]() : body[Symbol.iterator]();
  return async () => {
    const next = await chunks.next();
    return next.done === true ? undefined : next.value;
  };
}

/** A body that breaks off after `bytes`. */
export function* brokenAfter(bytes: Buffer): Iterable<Buffer> {
  yield bytes;
  throw new AppError("ERR_ABORTED", "the connection is gone");
}

/** Everybody may read, alice and bob may upload; a name is proof enough. */
function trustingAccess(clock: Clock): Access {
  const scheme: AuthScheme = {
    name: "basic",
    challenge: () => CHALLENGE,
    open: () => ({
      step: async (token) => {
        const name = Buffer.from(token, "base64").toString();
        const outcome = { type: "user", identity: { name, account: name }, scheme: "basic" } as const;
        return { outcome, persistence: "request" };
      },
    }),
  };
  return new Access({
    settings: {
      authenticator: new Authenticator([scheme]),
      rights: { read: ["Everyone"], change: ["alice", "bob"], admin: [] },
      anonymousEnabled: true,
      groupsOf: async () => [],
      trustedProxies: new NetworkList("trustedProxies", []),
      persistentSchemes: new Set(["basic"]),
      lockSeconds: 1,
    },
    clock,
    audit: new LogonAudit({ write: () => {} }, clock),
  });
}
