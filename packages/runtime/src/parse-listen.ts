import { isIP, isIPv6 } from "node:net";
import { AppError } from "@ckmesh/core";

export interface ListenAddress {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
}

/**
 * Parses `ADDR:PORT`: `0.0.0.0:80`, `[::]:443`, `localhost:8080`; `:8080` and `*:8080` mean 0.0.0.0.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function parseListen(text: string): ListenAddress {
  const m = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/i.exec(text);
  const [v6, name, port] = [m?.[1], m?.[2] ?? "", Number(m?.[3] ?? Number.NaN)];
  const host = v6 ?? (name === "" || name === "*" ? "0.0.0.0" : name);
  const isHost = v6 === undefined ? isIP(host) === 4 || HOST_NAME.test(host) : isIPv6(v6);
  if (m === null || !(port <= 65_535) || !isHost) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `${JSON.stringify(text)} is no ADDR:PORT; write for example 0.0.0.0:8080 or [::]:443`,
    );
  }
  return { host, port };
}

/** Letters first: `1.2.3` is neither an address nor a name. */
const HOST_NAME = /^[a-z](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i;

/** `host:port` for people and URLs, IPv6 in brackets. */
export function formatListen(address: ListenAddress): string {
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}
