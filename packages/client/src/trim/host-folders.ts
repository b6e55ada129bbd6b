import { posix, win32 } from "node:path";
import { AppError } from "@ckmesh/core";
import { expandVariables } from "@ckmesh/runtime";

type Environment = Readonly<Record<string, string | undefined>>;

/** Where programs lie that an image of the same system has too. */
const DEFAULT_FOLDERS: Readonly<Record<string, readonly string[]>> = {
  win32: ["%SystemRoot%", "%ProgramFiles%", "%ProgramFiles(x86)%", "%ProgramData%"],
  darwin: ["/Applications", "/Library", "/System/Library", "/usr"],
  linux: ["/usr", "/opt", "/var/lib"],
};

/**
 * The folders that are looked through: those of the configuration, else those of the operating system; variables
 * expanded, none within another.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function hostFolders(
  configured: readonly string[],
  platform: string = process.platform,
  environment?: Environment,
): readonly string[] {
  const path = platform === "win32" ? win32 : posix;
  const folders = configured.map((text) => parseFolder(text, path, environment));
  if (configured.length === 0) {
    for (const text of DEFAULT_FOLDERS[platform] ?? []) {
      const folder = expandVariables(text, environment);
      if (folder !== undefined) folders.push(path.normalize(folder));
    }
  }
  const isWithin = (inner: string, outer: string): boolean => {
    const way = path.relative(outer, inner);
    return way !== "" && way !== ".." && !way.startsWith(`..${path.sep}`) && !path.isAbsolute(way);
  };
  const unique = [...new Set(folders.map((folder) => path.resolve(folder)))];
  return unique.filter((folder) => !unique.some((other) => isWithin(folder, other)));
}

function parseFolder(text: string, path: typeof posix, environment: Environment | undefined): string {
  const folder = expandVariables(text, environment);
  if (folder === undefined) throw invalid(`a variable in ${JSON.stringify(text)} is not set`);
  if (!path.isAbsolute(folder)) throw invalid(`${JSON.stringify(folder)} is no absolute path`);
  if (/^[\\/]{2}/.test(folder)) throw invalid(`${JSON.stringify(folder)} lies on the network`);
  return path.normalize(folder);
}

function invalid(problem: string): AppError {
  return new AppError("ERR_CONFIG_INVALID", `trimFolders: ${problem}`);
}
