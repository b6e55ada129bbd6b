import { createHash } from "node:crypto";
import { chmod, mkdtemp, readFile, rm, unlink } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type AppError, type Clock, describeError, type Logger } from "@ckmesh/core";
import { fileErrorCode, writeAtomic } from "@ckmesh/store";
import { asAppError } from "../as-app-error.js";
import { type ControlRequest, parseControlRequest } from "./control-request.js";

/** Longest path of a Unix socket that every system takes (sun_path: 104 on macOS, 108 on Linux). */
const MAX_SOCKET_PATH = 100;
const MAX_REQUEST_BYTES = 64 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_CONNECTIONS = 32;
/** Names the socket; in the store, so that whoever may read the store finds it. */
const POINTER_FILE = "api";

/**
 * The local socket of a running client: one request line of JSON, one answer line, `{ok, result}` or
 * `{ok: false, code, message}`. Unix socket with mode 0600 (named pipe on Windows).
 */
export class LocalApi {
  readonly #server: Server;
  readonly #storeDir: string;
  readonly #temporary: string | undefined;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, storeDir: string, temporary: string | undefined) {
    this.#server = server;
    this.#storeDir = storeDir;
    this.#temporary = temporary;
  }

  /** The caller has the lock of the store, so an old socket there is a dead one. */
  static async open(
    storeDir: string,
    handle: (request: ControlRequest) => Promise<unknown>,
    deps: { readonly clock: Clock; readonly logger: Logger },
  ): Promise<LocalApi> {
    const { path, temporary } = await socketPath(storeDir);
    const server = createServer();
    const api = new LocalApi(server, storeDir, temporary);
    server.maxConnections = MAX_CONNECTIONS;
    server.on("connection", (socket) => {
      api.#sockets.add(socket);
      socket.once("close", () => api.#sockets.delete(socket));
      serve(socket, handle, deps);
    });
    await new Promise<void>((done, fail) => {
      server.once("error", fail);
      server.listen(path, done);
    });
    server.on("error", (err) => {
      deps.logger.warn({ err }, "local socket failed");
    });
    if (process.platform !== "win32") await chmod(path, 0o600);
    await writeAtomic(join(storeDir, POINTER_FILE), `${path}\n`);
    return api;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await new Promise<void>((done) => void this.#server.close(() => done()));
    await rm(join(this.#storeDir, POINTER_FILE), { force: true });
    if (this.#temporary !== undefined) await rm(this.#temporary, { recursive: true, force: true });
  }
}

/** Path of the socket of the client on `storeDir`; undefined when none has been opened there. */
export async function readSocketPath(storeDir: string): Promise<string | undefined> {
  try {
    return (await readFile(join(storeDir, POINTER_FILE), "utf8")).trim();
  } catch {
    return undefined; // absent or unreadable: nobody to ask
  }
}

async function socketPath(storeDir: string): Promise<{ path: string; temporary?: string }> {
  if (process.platform === "win32") {
    const name = createHash("sha256").update(resolve(storeDir).toLowerCase()).digest("hex").slice(0, 32);
    return { path: `\\\\.\\pipe\\ckmesh-${name}` };
  }
  const path = join(resolve(storeDir), "api.sock");
  await removeDeadSocket(path);
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return { path };
  const temporary = await mkdtemp(join(tmpdir(), "ckmesh-")); // mode 0700
  return { path: join(temporary, "api.sock"), temporary };
}

/**
 * `unlink`, not `rm`: `rm` looks at the file first, and on Node 20 the module loader takes the last such look at
 * a socket for a part of the next package that it resolves (realpathSync stops early), which then is not found.
 */
async function removeDeadSocket(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (err) {
    if (fileErrorCode(err) !== "ENOENT") throw err;
  }
}

function serve(
  socket: Socket,
  handle: (request: ControlRequest) => Promise<unknown>,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): void {
  let text = "";
  let isTaken = false;
  const cancel = clock.after(REQUEST_TIMEOUT_MS, () => {
    if (!isTaken) socket.destroy();
  });
  socket.setEncoding("utf8");
  socket.on("close", cancel);
  socket.on("error", (err) => {
    logger.debug({ reason: describeError(err) }, "local connection failed");
  });
  socket.on("data", (part: string) => {
    if (isTaken) return;
    text += part;
    const end = text.indexOf("\n");
    if (text.length > MAX_REQUEST_BYTES) socket.destroy();
    if (end < 0) return;
    isTaken = true;
    answer(text.slice(0, end), handle).then(
      (line) => socket.end(`${line}\n`),
      (err: unknown) => {
        logger.error({ err }, "local request failed");
        socket.destroy();
      },
    );
  });
}

async function answer(line: string, handle: (request: ControlRequest) => Promise<unknown>): Promise<string> {
  try {
    return JSON.stringify({ ok: true, result: (await handle(parseControlRequest(line))) ?? null });
  } catch (err) {
    const { code, message }: AppError = asAppError(err);
    return JSON.stringify({ ok: false, code, message });
  }
}
