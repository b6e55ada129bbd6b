import { AppError } from "@ckmesh/core";

/** Largest extended handshake (specs: peer wire 1.4.3). */
export const MAX_EXTENDED_HANDSHAKE_BYTES = 4096;
const MAX_DEPTH = 3;
const MAX_EXTENSIONS = 16;
const MAX_EXTENSION_ID = 255;

/**
 * Checks a BEP 10 extended handshake before a decoder sees it, without recursion and without building
 * anything: bencoded dictionary, depth ≤ 3, no negative lengths, `m` maps ≤ 16 names to integers 0–255 and
 * names `extension`. (The decoder that follows loops for ever on `l-3:`.)
 * @throws {AppError} ERR_WIRE_MESSAGE_INVALID
 */
export function checkExtendedHandshake(bytes: Uint8Array, extension: string): void {
  if (bytes.byteLength > MAX_EXTENDED_HANDSHAKE_BYTES) throw invalid("is too long");
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  const scan = new Scan(text);
  scan.run();
  const id = scan.extensions.get(extension);
  if (id === undefined || id === 0) throw invalid(`does not offer ${extension}`);
}

interface Container {
  readonly kind: "list" | "dictionary";
  readonly isExtensionMap: boolean;
  /** In a dictionary: the key whose value comes next. */
  key: string | undefined;
}

/** One pass over bencoded text with an explicit stack. */
class Scan {
  readonly extensions = new Map<string, number>();
  readonly #text: string;
  readonly #stack: Container[] = [];
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  run(): void {
    if (this.#text[0] !== "d") throw invalid("is no dictionary");
    do {
      this.#step();
    } while (this.#stack.length > 0);
    if (this.#at !== this.#text.length) throw invalid("has bytes after its end");
  }

  #step(): void {
    const top = this.#stack.at(-1);
    const first = this.#text[this.#at] ?? "";
    if (first === "e" && top !== undefined) {
      if (top.key !== undefined) throw invalid("has a key without value");
      this.#at += 1;
      this.#stack.pop();
      this.#valueEnded();
    } else if (top?.kind === "dictionary" && top.key === undefined) {
      top.key = this.#string();
    } else if (first === "d" || first === "l") {
      this.#open(first === "d" ? "dictionary" : "list", top);
    } else if (first === "i") {
      this.#integer(top);
    } else {
      if (top?.isExtensionMap === true) throw invalid("maps an extension to a text");
      this.#string();
      this.#valueEnded();
    }
  }

  #open(kind: Container["kind"], top: Container | undefined): void {
    if (this.#stack.length === MAX_DEPTH) throw invalid("is nested too deep");
    if (top?.isExtensionMap === true) throw invalid("maps an extension to a container");
    const isExtensionMap = this.#stack.length === 1 && top?.key === "m";
    if (isExtensionMap && kind !== "dictionary") throw invalid("has an m that is no dictionary");
    this.#at += 1;
    this.#stack.push({ kind, isExtensionMap, key: undefined });
  }

  #integer(top: Container | undefined): void {
    const m = /^i(-?\d{1,15})e/.exec(this.#text.slice(this.#at, this.#at + 18));
    if (m === null) throw invalid("has a bad integer");
    const value = Number(m[1]);
    if (top?.isExtensionMap === true && top.key !== undefined) {
      if (value < 0 || value > MAX_EXTENSION_ID) throw invalid("has an extension id out of range");
      if (this.extensions.size === MAX_EXTENSIONS) throw invalid("names too many extensions");
      this.extensions.set(top.key, value);
    } else if (this.#stack.length === 1 && top?.key === "m") {
      throw invalid("has an m that is no dictionary");
    }
    this.#at += m[0].length;
    this.#valueEnded();
  }

  #string(): string {
    const m = /^(\d{1,4}):/.exec(this.#text.slice(this.#at, this.#at + 5));
    if (m === null) throw invalid("has a bad text");
    const start = this.#at + m[0].length;
    const end = start + Number(m[1]);
    if (end > this.#text.length) throw invalid("has a text past its end");
    this.#at = end;
    return this.#text.slice(start, end);
  }

  #valueEnded(): void {
    const top = this.#stack.at(-1);
    if (top !== undefined) top.key = undefined;
  }
}

function invalid(what: string): AppError {
  return new AppError("ERR_WIRE_MESSAGE_INVALID", `the peer's extended handshake ${what}`);
}
