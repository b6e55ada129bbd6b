import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { PYTHON } from "./foreign.js";

const SCRIPT = fileURLToPath(new URL("bits_upload.py", import.meta.url));

export interface PythonUpload {
  /** Of the file to be. */
  readonly url: string;
  readonly file: string;
  readonly fragmentBytes?: number;
  readonly user?: { readonly account: string; readonly password: string };
  /** PEM files. */
  readonly ca?: string;
  readonly pair?: { readonly cert: string; readonly key: string };
  /** With it an upload goes on where one that was killed stopped. */
  readonly stateFile?: string;
  /** Seconds to wait out lost connections and 5xx; default: none. */
  readonly patienceSeconds?: number;
}

/** What the program said about one packet, or at its end. */
export interface PythonFact {
  readonly ack?: string;
  readonly received?: number;
  readonly session?: string;
  readonly done?: boolean;
  readonly refused?: string;
  readonly status?: number;
  readonly hresult?: string;
  readonly smaller?: number;
}

/** An upload by Python's http.client, as a process. */
export class BitsPython {
  readonly #child: ChildProcess;
  readonly #facts: PythonFact[] = [];
  readonly #ended: Promise<void>;
  #onFact: (fact: PythonFact) => void = () => {};
  #errorText = "";

  constructor(upload: PythonUpload) {
    const { user, pair } = upload;
    const args = [
      ...flag("--fragment", upload.fragmentBytes?.toString()),
      ...flag("--user", user?.account),
      ...flag("--password", user?.password),
      ...flag("--ca", upload.ca),
      ...flag("--cert", pair?.cert),
      ...flag("--key", pair?.key),
      ...flag("--state", upload.stateFile),
      ...flag("--patience", upload.patienceSeconds?.toString()),
    ];
    this.#child = spawn(PYTHON, [SCRIPT, upload.url, upload.file, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let rest = "";
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#take(line);
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#errorText += text;
    });
    this.#ended = new Promise((resolve, reject) => {
      this.#child.once("error", reject);
      this.#child.once("close", () => resolve());
    });
  }

  /** Is called with each fact as it comes. */
  onFact(listener: (fact: PythonFact) => void): void {
    this.#onFact = listener;
  }

  get facts(): readonly PythonFact[] {
    return this.#facts;
  }

  /** Ends it at once. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /**
   * Waits for its end, whatever that is.
   * @returns the last fact: `done` or `refused`, or another one when it was killed
   */
  async end(): Promise<PythonFact> {
    await this.#ended;
    return this.#facts.at(-1) ?? {};
  }

  /** Waits for its end; rejects with what it wrote unless the upload is done. */
  async done(): Promise<readonly PythonFact[]> {
    const last = await this.end();
    if (last.done !== true) throw new Error(`not uploaded: ${JSON.stringify(last)} ${this.#errorText}`);
    return this.#facts;
  }

  #take(line: string): void {
    const fact: unknown = JSON.parse(line);
    const known: PythonFact = Object.fromEntries(Object.entries(Object(fact)));
    this.#facts.push(known);
    this.#onFact(known);
  }
}

function flag(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [name, value];
}
