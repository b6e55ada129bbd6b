import type { ClientLogon } from "@ckmesh/auth";
import type { Clock } from "@ckmesh/core";
import { CallLane } from "./call-lane.js";
import { GetLane } from "./get-lane.js";
import { KerberosTickets, type TicketSource } from "./kerberos-tickets.js";
import { OriginLanes } from "./origin-lanes.js";
import { createLogon, type LogonSettings } from "./origin-logon.js";
import { type ClientCertificate, OriginSockets } from "./origin-socket.js";
import { parseOriginUrl } from "./origin-url.js";
import { bareHost, type ProxyServer, type ProxySettings, proxyFor } from "./proxy.js";

/** How an origin is reached, and who this client is there. */
export interface OriginLinkOptions extends LogonSettings {
  /** Names the virtual directory: `https://host/MEDVImages`. */
  readonly baseUrl: string;
  /** PEM of the authorities to trust in place of the system's. */
  readonly ca?: string;
  /** Shown to a server that asks for one. */
  readonly certificate?: ClientCertificate;
  readonly proxy?: ProxySettings;
  /** Where Kerberos tickets come from; default: this machine's ticket cache. */
  readonly tickets?: TicketSource;
  readonly clock: Clock;
  /** Longest wait for a connection, proxy and TLS included, default 10,000 ms. */
  readonly connectTimeoutMs?: number;
  /** Longest wait for the head of an answer, default 15,000 ms. */
  readonly headTimeoutMs?: number;
  /** Longest pause between two parts of a body, default 20,000 ms. Ranges have no total time-out. */
  readonly bodyTimeoutMs?: number;
  /** Most requests at a time, default 6. */
  readonly maxConnections?: number;
}

export interface OriginLink {
  readonly lanes: OriginLanes;
  /** Absent: nothing to log on with. */
  readonly logon: ClientLogon | undefined;
  /** Path of the virtual directory, without a slash at its end. */
  readonly basePath: string;
  /** Name or address, as the URL has it. */
  readonly host: string;
}

/**
 * Connects nothing yet.
 * @param kind "get": for GETs at full speed; "call": for any method
 * @throws {AppError} ERR_CONFIG_INVALID when the URL, the credentials or the proxy cannot be used
 */
export function openOriginLink(options: OriginLinkOptions, kind: "get" | "call"): OriginLink {
  const url = parseOriginUrl(options.baseUrl);
  const { sockets, proxy } = openSockets(url, options);
  const isPlainProxied = proxy !== undefined && url.protocol === "http:";
  const logon = createLogon(url, isPlainProxied, options);
  const { clock, headTimeoutMs = 15_000, bodyTimeoutMs = 20_000 } = options;
  const place = {
    url,
    sockets,
    isPlainProxied,
    ...(proxy?.authorization !== undefined && { proxyAuthorization: proxy.authorization }),
    clock,
    headTimeoutMs,
  };
  const lanes = new OriginLanes({
    url,
    lanes: options.maxConnections ?? 6,
    makeLane: () => (kind === "get" ? new GetLane({ ...place, bodyTimeoutMs }) : new CallLane(place)),
    ...(logon !== undefined && { logon }),
    tickets: options.tickets ?? new KerberosTickets(),
    clock,
  });
  return { lanes, logon, basePath: url.pathname.replace(/\/+$/, ""), host: url.hostname };
}

/**
 * @param isLax any certificate is taken: to look at it, never to send anything
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function openSockets(
  url: URL,
  options: OriginLinkOptions,
  isLax = false,
): { readonly sockets: OriginSockets; readonly proxy: ProxyServer | undefined } {
  const { ca, certificate, clock } = options;
  const proxy = proxyFor(bareHost(url.hostname), options.proxy);
  const sockets = new OriginSockets({
    url,
    timeoutMs: options.connectTimeoutMs ?? 10_000,
    clock,
    isLax,
    ...(ca !== undefined && { ca }),
    ...(certificate !== undefined && { certificate }),
    ...(proxy !== undefined && { proxy }),
  });
  return { sockets, proxy };
}
