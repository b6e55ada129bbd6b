import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { AppError, type Clock } from "@ckmesh/core";
import { bareHost, type ProxyServer } from "./proxy.js";

export interface ClientCertificate {
  /** PEM, with its chain. */
  readonly cert: string;
  /** PEM, not encrypted. */
  readonly key: string;
}

export interface OriginSocketOptions {
  readonly url: URL;
  /** PEM of the authorities to trust in place of the system's. */
  readonly ca?: string | Buffer;
  readonly certificate?: ClientCertificate;
  readonly proxy?: ProxyServer;
  /** Takes any certificate: to look at it, never to send anything. */
  readonly isLax?: boolean;
  /** Longest wait for the connection, TLS and the proxy's tunnel included, ms. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** Longest head of a proxy's answer to CONNECT. */
const MAX_PROXY_HEAD_BYTES = 16_384;

/**
 * Opens connections to one origin, ready for HTTP/1.1: TCP, through the proxy if there is one, TLS. Sessions are
 * resumed.
 */
export class OriginSockets {
  readonly #options: OriginSocketOptions;
  #session: Buffer | undefined;

  constructor(options: OriginSocketOptions) {
    this.#options = options;
  }

  /** Gives a socket, or the error: ERR_TIMEOUT; ERR_ORIGIN_UNREACHABLE from a proxy; else what the socket throws. */
  open(done: (err: Error | undefined, socket: Socket | undefined) => void): void {
    const { timeoutMs, clock, url } = this.#options;
    let last: Socket | undefined;
    let isOver = false;
    const end = (err: Error | undefined, socket: Socket | undefined): void => {
      if (isOver) return;
      isOver = true;
      cancel();
      if (socket === undefined) last?.destroy();
      done(err, socket);
    };
    const cancel = clock.after(timeoutMs, () => {
      end(
        new AppError("ERR_TIMEOUT", `no connection to ${url.host} within ${timeoutMs / 1000} s`),
        undefined,
      );
    });
    const hold = (socket: Socket): void => {
      last = socket;
      if (isOver) socket.destroy();
    };
    this.#open(hold).then(
      (socket) => end(undefined, socket),
      (err: unknown) => end(err instanceof Error ? err : new Error(String(err)), undefined),
    );
  }

  async #open(hold: (socket: Socket) => void): Promise<Socket> {
    const { url, proxy } = this.#options;
    const isTls = url.protocol === "https:";
    const origin = { host: bareHost(url.hostname), port: Number(url.port) || (isTls ? 443 : 80) };
    const { host, port } = proxy ?? origin;
    const tcp = connectTcp({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 });
    hold(tcp);
    await untilOpen(tcp, "connect");
    if (!isTls) return tcp;
    if (proxy !== undefined) await openTunnel(tcp, `${url.hostname}:${origin.port}`, proxy);
    const tls = this.#startTls(tcp, origin.host);
    hold(tls);
    await untilOpen(tls, "secureConnect");
    return tls;
  }

  #startTls(socket: Socket, host: string): TLSSocket {
    const { ca, certificate, isLax = false } = this.#options;
    const tls = connectTls({
      socket,
      host,
      // An address is no server name (RFC 6066 §3); the certificate is checked against `host` all the same.
      ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
      // Windows authentication needs HTTP/1.1.
      ALPNProtocols: ["http/1.1"],
      rejectUnauthorized: !isLax,
      ...(ca !== undefined && { ca }),
      ...certificate,
      ...(this.#session !== undefined && { session: this.#session }),
    });
    tls.on("session", (session) => {
      this.#session = session;
    });
    return tls;
  }
}

/** Waits for `event`; the listener for errors stays, as nobody else listens before the socket is in use. */
async function untilOpen(socket: Socket, event: "connect" | "secureConnect"): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.once(event, resolve).on("error", reject);
    socket.once("close", () => reject(closed("the connection was closed before it was ready")));
  });
}

/** RFC 9110 §9.3.6 */
async function openTunnel(
  socket: Socket,
  target: string,
  { host, port, authorization }: ProxyServer,
): Promise<void> {
  const credentials = authorization === undefined ? "" : `Proxy-Authorization: ${authorization}\r\n`;
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${credentials}\r\n`);
  const head = await readHead(socket);
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1];
  if (status?.startsWith("2") === true) return;
  const why =
    status === "407"
      ? "the proxy wants credentials, or refused those it got: see proxyCredentialsFile (Basic only)"
      : `the proxy refuses a tunnel to ${target} (${status === undefined ? "no HTTP" : `status ${status}`})`;
  throw new AppError("ERR_ORIGIN_UNREACHABLE", `proxy ${host}:${port}: ${why}`, {
    details: { proxy: `${host}:${port}`, ...(status !== undefined && { proxyStatus: Number(status) }) },
  });
}

/** The head of an answer as text; what comes after it stays in the socket. */
async function readHead(socket: Socket): Promise<string> {
  const parts: Buffer[] = [];
  for (;;) {
    const part: unknown = socket.read();
    if (part instanceof Buffer) {
      parts.push(part);
      const all = Buffer.concat(parts);
      const end = all.indexOf("\r\n\r\n");
      if (end >= 0) {
        socket.unshift(all.subarray(end + 4));
        return all.toString("latin1", 0, end);
      }
      if (all.length > MAX_PROXY_HEAD_BYTES) throw closed("the proxy's answer has too large a head");
      continue;
    }
    await new Promise<void>((resolve, reject) => {
      const gone = (): void => reject(closed("the proxy closed the connection"));
      socket.once("readable", resolve).once("end", gone).once("close", gone);
    });
    if (socket.readableEnded) throw closed("the proxy closed the connection");
  }
}

function closed(why: string): AppError {
  return new AppError("ERR_ORIGIN_UNREACHABLE", why);
}
