import { AppError } from "@ckmesh/core";
import { networkContains, parseIp, parseNetwork } from "@ckmesh/wire";

/** The HTTP proxy between this machine and the origin. */
export interface ProxySettings {
  /** `http://host:port` */
  readonly url: string;
  /** `user:password` for Basic at the proxy. */
  readonly credentials?: string;
  /** Hosts that are reached without it: `host`, `.domain`, `*.domain`, an address or a network in CIDR. */
  readonly bypass: readonly string[];
}

/** What a connection needs to know of the proxy. */
export interface ProxyServer {
  readonly host: string;
  readonly port: number;
  /** The value of Proxy-Authorization. */
  readonly authorization?: string;
}

/**
 * The proxy for a host; undefined when it is reached without one.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function proxyFor(host: string, settings: ProxySettings | undefined): ProxyServer | undefined {
  if (settings === undefined) return undefined;
  const server = parseProxy(settings);
  const rules = settings.bypass.map((text) => parseBypass(text));
  return rules.some((matches) => matches(host.toLowerCase())) ? undefined : server;
}

function parseProxy({ url: text, credentials }: ProxySettings): ProxyServer {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isBare = url?.username === "" && url.password === "" && url.pathname === "/" && url.search === "";
  if (url?.protocol !== "http:" || !isBare)
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `proxy: ${JSON.stringify(text)} is no proxy; write http://host:port, a user and password into proxyCredentialsFile`,
    );
  if (credentials !== undefined && (!credentials.includes(":") || /\p{Cc}/u.test(credentials)))
    throw new AppError("ERR_CONFIG_INVALID", "proxyCredentialsFile: its first line must be user:password");
  return {
    host: bareHost(url.hostname),
    port: Number(url.port === "" ? "80" : url.port),
    ...(credentials !== undefined && {
      authorization: `Basic ${Buffer.from(credentials, "utf8").toString("base64")}`,
    }),
  };
}

function parseBypass(text: string): (host: string) => boolean {
  const rule = text.toLowerCase();
  const network = parseNetwork(rule);
  if (network !== undefined) {
    return (host) => {
      const address = parseIp(bareHost(host));
      return address !== undefined && networkContains(network, address);
    };
  }
  if (!/^(?:\*?\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(rule) && parseIp(bareHost(rule)) === undefined)
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `proxyBypass: ${JSON.stringify(text)} is no host, domain (.example.com) or network (10.0.0.0/8)`,
    );
  const suffix = rule.startsWith("*.") ? rule.slice(1) : rule;
  if (suffix.startsWith(".")) return (host) => host.endsWith(suffix);
  return (host) => bareHost(host) === bareHost(suffix);
}

/** `[::1]` as sockets take it. */
export function bareHost(host: string): string {
  return host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host;
}
