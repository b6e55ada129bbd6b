import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BITS_PROTOCOL } from "./bits-connection.js";
import { runProgram } from "./run-program.js";

export interface CurlUpload {
  readonly url: string;
  readonly bytes: Uint8Array;
  readonly fragmentBytes: number;
  /** Lines of a curl configuration that decide the logon: `ntlm`, `user = "alice:…"`. */
  readonly logon: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Reads fragments as it sends them; otherwise curl loads all of them before it begins with the first. */
  readonly isStreamed?: boolean;
  /** Called before curl starts, when what it will send lies ready. */
  readonly ready?: () => void;
}

export interface CurlUploadResult {
  /** Of each packet, in order: Ping, Create-Session, the fragments, Close-Session; stops after the first two when refused. */
  readonly statuses: readonly number[];
  /** Connections that each of the two runs opened. */
  readonly connects: readonly number[];
  /** Answers of 401 before the last one of a request. */
  readonly challenges: number;
  /** Of the fragments and Close-Session, curl's own start included. */
  readonly seconds: number;
}

const RUN_TIMEOUT_MS = 120_000;

interface Step {
  readonly url: string;
  readonly headers: readonly string[];
  /** A file; absent: an empty body. */
  readonly body?: string;
}

/**
 * An upload by curl: one run for Ping and Create-Session, one for the fragments and Close-Session, each over the
 * connections that curl chooses to keep. A fragment of more than 1 MiB goes with `Expect: 100-continue`.
 */
export async function curlUpload(upload: CurlUpload): Promise<CurlUploadResult> {
  const folder = mkdtempSync(join(tmpdir(), "ckcurl-"));
  try {
    const { url } = upload;
    const first = await runSteps(upload, folder, [
      { url, headers: ["BITS-Packet-Type: Ping"] },
      {
        url,
        headers: ["BITS-Packet-Type: Create-Session", `BITS-Supported-Protocols: ${BITS_PROTOCOL}`],
      },
    ]);
    const session = /^BITS-Session-Id: (\S+)/im.exec(first.headers)?.[1];
    if (session === undefined) return summary([first]);
    const second = await runSteps(upload, folder, [
      ...fragments(upload, folder, session),
      { url, headers: ["BITS-Packet-Type: Close-Session", `BITS-Session-Id: ${session}`] },
    ]);
    return summary([first, second]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function fragments({ url, bytes, fragmentBytes }: CurlUpload, folder: string, session: string): Step[] {
  const steps: Step[] = [];
  for (let first = 0; first < bytes.length; first += fragmentBytes) {
    const piece = bytes.subarray(first, first + fragmentBytes);
    const body = join(folder, `fragment-${first}`);
    writeFileSync(body, piece);
    const range = `Content-Range: bytes ${first}-${first + piece.length - 1}/${bytes.length}`;
    steps.push({ url, body, headers: ["BITS-Packet-Type: Fragment", `BITS-Session-Id: ${session}`, range] });
  }
  return steps;
}

interface Run {
  readonly statuses: readonly number[];
  readonly connects: number;
  readonly headers: string;
  readonly seconds: number;
}

async function runSteps(
  { logon, env, isStreamed = false, ready }: CurlUpload,
  folder: string,
  steps: readonly Step[],
): Promise<Run> {
  const headers = join(folder, "headers");
  const config = join(folder, "config");
  writeFileSync(headers, "");
  const text = steps.map((step, n) =>
    [
      ...logon,
      `url = "${step.url}"`,
      'request = "BITS_POST"',
      ...step.headers.map((header) => `header = "${header}"`),
      // What curl takes for the form of a page.
      'header = "Content-Type:"',
      bodyLine(step.body, isStreamed),
      `dump-header = "${headers}-${n}"`,
      `output = "${join(folder, "body")}"`,
      'write-out = "%{http_code} %{num_connects}\\n"',
      'noproxy = "*"',
      "max-time = 30",
      "silent",
    ].join("\n"),
  );
  writeFileSync(config, text.join("\nnext\n"));
  ready?.();
  const start = performance.now();
  const run = await runProgram("curl", ["--config", config], {
    timeoutMs: RUN_TIMEOUT_MS,
    env: { HOME: folder, KRB5CCNAME: "FILE:/nonexistent", NTLM_USER_FILE: "/nonexistent", ...env },
  });
  const seconds = (performance.now() - start) / 1000;
  const lines = run.stdout
    .trim()
    .split("\n")
    .map((line) => line.split(" ").map(Number));
  return {
    statuses: lines.map(([status = 0]) => status),
    connects: lines.reduce((sum, [, connects = 0]) => sum + connects, 0),
    seconds,
    headers: steps.map((_, n) => readFileSync(`${headers}-${n}`, "latin1")).join(""),
  };
}

function bodyLine(file: string | undefined, isStreamed: boolean): string {
  if (file === undefined) return 'data = ""';
  return isStreamed ? `upload-file = "${file}"` : `data-binary = "@${file}"`;
}

function summary(runs: readonly Run[]): CurlUploadResult {
  return {
    statuses: runs.flatMap(({ statuses }) => statuses),
    connects: runs.map(({ connects }) => connects),
    seconds: runs[1]?.seconds ?? 0,
    challenges: runs.reduce((sum, { headers }) => sum + (headers.match(/^HTTP\/1\.1 401/gm)?.length ?? 0), 0),
  };
}
