import { AppError } from "@ckmesh/core";

/** Longest image name in UTF-8 bytes: leaves room for version and suffixes within 255 bytes. */
const MAX_NAME_BYTES = 160;
// MED-V forbids the space and "<>|\/:*?; the rest of the class are control and bidirectional characters.
// oxlint-disable-next-line no-control-regex
const FORBIDDEN = /[\s"<>|\\/:*?\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u;
const WINDOWS_DEVICE = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\.|$)/iu;
const OWN_SUFFIX = /\.(?:ckm|index|partial|tmp)$/iu;

/** What a file name of the virtual directory means. */
export interface ServedName {
  readonly name: string;
  /** `frames-index`: our index of a foreign pack that has a foreign `.ckm.index` of its own. */
  readonly kind: "pack" | "index" | "frames-index";
  /** Absent: the alias, which stands for the newest version. */
  readonly version?: number;
  /** Set for a delta: the version that it starts from. */
  readonly from?: number;
}

/**
 * An image name that MED-V, Windows and our own file names allow.
 * @throws {AppError} ERR_IMAGE_NAME_INVALID
 */
export function parseImageName(text: string): string {
  const problem = findProblem(text);
  if (problem !== undefined) {
    throw new AppError("ERR_IMAGE_NAME_INVALID", `${JSON.stringify(text)} is no image name: ${problem}`);
  }
  return text;
}

/** `NAME_n.ckm` */
export function packFileName(name: string, version: number): string {
  return `${name}_${version}.ckm`;
}

/** `NAME_n.ckm.index` */
export function indexFileName(name: string, version: number): string {
  return `${packFileName(name, version)}.index`;
}

/** `NAME_n.from_m.ckm`: the delta that leads from version `from` to `version`. */
export function deltaPackFileName(name: string, version: number, from: number): string {
  return `${name}_${version}.from_${from}.ckm`;
}

/** `NAME_n.from_m.ckm.index` */
export function deltaIndexFileName(name: string, version: number, from: number): string {
  return `${deltaPackFileName(name, version, from)}.index`;
}

/** Reads a file name as given (case counts); undefined when it names no pack and no index. */
export function parseServedName(fileName: string): ServedName | undefined {
  if (fileName.length > 255) return undefined;
  const suffix = /\.ckm(\.index|\.frames\.index)?$/.exec(fileName);
  if (suffix === null) return undefined;
  const kind = suffix[1] === undefined ? "pack" : suffix[1] === ".index" ? "index" : "frames-index";
  const stem = fileName.slice(0, suffix.index);
  const delta = /^(.+)_([0-9]+)\.from_([0-9]+)$/u.exec(stem);
  const versioned = delta ?? /^(.+)_([0-9]+)$/u.exec(stem);
  if (versioned === null) return findProblem(stem) === undefined ? { name: stem, kind } : undefined;
  const [, name = "", digits = "", fromDigits] = versioned;
  const version = parseVersion(digits);
  if (version === undefined || findProblem(name) !== undefined) return undefined;
  if (fromDigits === undefined) return { name, kind, version };
  const from = parseVersion(fromDigits);
  return from === undefined || from >= version ? undefined : { name, kind, version, from };
}

/** Decimal, no leading zeros, 1 to 2^53 - 1. */
function parseVersion(digits: string): number | undefined {
  if (!/^[1-9][0-9]{0,15}$/.test(digits)) return undefined;
  const version = Number(digits);
  return Number.isSafeInteger(version) ? version : undefined;
}

function findProblem(text: string): string | undefined {
  if (text === "") return "it is empty";
  if (Buffer.byteLength(text) > MAX_NAME_BYTES) return `it is longer than ${MAX_NAME_BYTES} bytes`;
  if (FORBIDDEN.test(text) || /\p{Surrogate}/u.test(text)) {
    return `spaces, control characters and "<>|\\/:*? are not allowed`;
  }
  if (text !== text.normalize("NFC")) return "it must be in Unicode normal form C";
  if (text.startsWith(".") || text.endsWith(".")) return "it must not begin or end with a dot";
  if (WINDOWS_DEVICE.test(text)) return "Windows reserves it for a device";
  if (/_[0-9]+$/.test(text)) return "it must not end in an underscore and digits, which mark a version";
  if (/\.from(?:_|$)/.test(text)) return '".from" before an underscore or at the end marks a delta';
  if (OWN_SUFFIX.test(text)) return "it must not end like one of our own files";
  return undefined;
}
