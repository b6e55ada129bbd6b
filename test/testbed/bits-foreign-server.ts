import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { PYTHON } from "./foreign.js";

const SCRIPT = fileURLToPath(new URL("bits_server.py", import.meta.url));

/** One packet as the server answered it. */
interface ServedPacket {
  /** Lower case: `ping`, `create-session`, `fragment` … */
  readonly packet: string;
  readonly status: number;
  /** Of its body. */
  readonly bytes: number;
}

export interface ForeignBitsServer {
  readonly url: string;
  readonly packets: readonly ServedPacket[];
  /** Safe to call twice. */
  stop(): Promise<void>;
}

/** @param flags of bits_server.py: faults that it is to have */
export async function startForeignBitsServer(
  folder: string,
  flags: readonly string[] = [],
): Promise<ForeignBitsServer> {
  const child = spawn(PYTHON, [SCRIPT, folder, ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  const gone = once(child, "close");
  const packets: ServedPacket[] = [];
  const port = await new Promise<number>((resolve, reject) => {
    let rest = "";
    child.once("error", reject);
    child.once("close", () => reject(new Error("the server ended")));
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const fact: unknown = JSON.parse(line);
        const { port: found, packet, status, bytes } = Object.fromEntries(Object.entries(Object(fact)));
        if (found !== undefined) resolve(Number(found));
        else packets.push({ packet: String(packet), status: Number(status), bytes: Number(bytes) });
      }
    });
  });
  return {
    url: `http://127.0.0.1:${port}`,
    packets,
    async stop() {
      child.kill("SIGKILL");
      await gone;
    },
  };
}
