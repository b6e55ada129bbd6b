/** What a URL path asks for. */
export type ServedPath =
  | { readonly type: "outside" }
  /** The virtual directory itself. */
  | { readonly type: "directory" }
  /** `key` finds the file in the catalogue; it never becomes part of a path on disk. `segment`: as it was written. */
  | { readonly type: "file"; readonly key: string; readonly segment: string };

/** Longer names cannot be files of ours. */
const MAX_NAME_LENGTH = 1024;

/**
 * Reads the path of a request target. Nothing is normalised: a path with further segments, dots, encoded
 * separators or bad escapes simply names no file.
 */
export function parseServedPath(target: string, directoryName: string): ServedPath {
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  const m = /^\/([^/]*)(?:\/([^/]*))?$/.exec(path);
  if (m === null || path.length > MAX_NAME_LENGTH) return { type: "outside" };
  const directory = decode(m[1] ?? "");
  if (directory?.toLowerCase() !== directoryName.toLowerCase()) return { type: "outside" };
  if (m[2] === undefined || m[2] === "") return { type: "directory" };
  const name = decode(m[2]);
  return name === undefined ? { type: "outside" } : { type: "file", key: fileKey(name), segment: m[2] };
}

/** Names that differ only in case or in Unicode composition are one file. */
export function fileKey(fileName: string): string {
  return fileName.normalize("NFC").toLowerCase();
}

/** Equal for the two files of one delta. */
export function deltaKey(name: string, version: number, from: number): string {
  return fileKey(`${name}_${version}.from_${from}`);
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined; // A bad escape: names nothing.
  }
}
