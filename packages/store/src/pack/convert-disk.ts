import { spawn } from "node:child_process";
import { realpath, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { AppError } from "@ckmesh/core";
import { type ForeignFormat, foreignFormat } from "@ckmesh/image";
import { fileError } from "../files/file-error.js";
import { fileSource } from "../files/file-io.js";
import { fileErrorCode } from "../files/store-error.js";
import { TemporaryFile } from "../files/temporary-file.js";
import { throwIfStopped, type WorkOptions } from "../progress.js";

const QEMU_IMG = "qemu-img";
/** Most that is kept of what it says. */
const MAX_OUTPUT_BYTES = 1 << 20;

/**
 * Calls `use` with a file that can be packed as it is: `diskPath` itself or, for VHDX, qcow2 and VMDK, a raw copy that
 * `qemu-img` makes, sparse, beside `packPath`, and that is gone afterwards.
 * @throws {AppError} ERR_FORMAT_UNSUPPORTED without qemu-img, or when the disk has parts in other places;
 *   ERR_DISK_INVALID, ERR_FILE_NOT_FOUND, ERR_FILE_DENIED, ERR_STORE_FULL, ERR_ABORTED
 */
export async function withPlainDisk<R>(
  diskPath: string,
  packPath: string,
  options: WorkOptions,
  use: (path: string) => Promise<R>,
): Promise<R> {
  const format = await foreignFormat(await fileSource(diskPath));
  if (format === undefined) return await use(diskPath);
  const copy = await TemporaryFile.create(`${packPath}.disk`);
  try {
    await convert(diskPath, format, copy.temporaryPath, options);
    return await use(copy.temporaryPath);
  } finally {
    await copy.discard();
  }
}

async function convert(
  diskPath: string,
  format: ForeignFormat,
  to: string,
  options: WorkOptions,
): Promise<void> {
  // Absolute, so that no name is taken for a protocol or an option; the format is never guessed.
  const source = await realpath(diskPath);
  const before = await stat(source, { bigint: true });
  const info = parseInfo(
    await qemuImg(["info", "--output=json", "-f", format.driver, source], format, options),
  );
  await refuseOtherFiles(info, source);
  const bytesTotal = field(info, "virtual-size");
  await qemuImg(
    ["convert", "-p", "-f", format.driver, "-O", "raw", source, resolve(to)],
    format,
    options,
    (percent) => {
      if (typeof bytesTotal !== "number") return;
      const bytesDone = Math.floor((bytesTotal * percent) / 100);
      options.onProgress?.({ phase: "convert", bytesDone, bytesTotal });
    },
  );
  const after = await stat(source, { bigint: true });
  if (before.mtimeNs !== after.mtimeNs || before.size !== after.size) {
    throw new AppError(
      "ERR_DISK_INVALID",
      `${diskPath} changed while it was converted; stop what writes to it, or pack a snapshot`,
    );
  }
}

/** @throws {AppError} ERR_DISK_INVALID when it is cut off: a disk of so many parts is none that anybody made */
function parseInfo(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AppError("ERR_DISK_INVALID", "what qemu-img says of the disk file cannot be read", { cause });
  }
}

/** A disk may name other files, anywhere, as parts of it: whoever made it could have them packed. */
async function refuseOtherFiles(info: unknown, source: string): Promise<void> {
  if (field(info, "backing-filename") !== undefined) {
    throw unsupported("it holds only what changed against another disk; merge them first: qemu-img convert");
  }
  const details = field(field(info, "format-specific"), "data");
  if (field(details, "data-file") !== undefined)
    throw unsupported("its data lies in another file; convert it first");
  const extents = field(details, "extents");
  for (const extent of Array.isArray(extents) ? extents : []) {
    const name = field(extent, "filename");
    if (typeof name !== "string") continue;
    const path = await realpath(resolve(dirname(source), name)).catch((err: unknown) => {
      throw fileError(err, name);
    });
    if (dirname(path) !== dirname(source)) throw unsupported(`a part of it, ${name}, lies in another folder`);
  }
}

function unsupported(problem: string): AppError {
  return new AppError("ERR_FORMAT_UNSUPPORTED", `the disk file cannot be packed: ${problem}`);
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

/** Runs `qemu-img`; gives what it prints, and meanwhile the percentages among it to `onPercent`. */
async function qemuImg(
  args: readonly string[],
  format: ForeignFormat,
  options: WorkOptions,
  onPercent?: (percent: number) => void,
): Promise<string> {
  throwIfStopped(options.signal);
  return await new Promise<string>((done, fail) => {
    const child = spawn(QEMU_IMG, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, LC_ALL: "C" },
      windowsHide: true,
      killSignal: "SIGKILL",
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    let [output, complaint] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      if (onPercent === undefined) output = (output + text).slice(0, MAX_OUTPUT_BYTES);
      const percent = /\((\d+(?:\.\d+)?)\/100%\)/.exec(text)?.[1];
      if (percent !== undefined) onPercent?.(Number(percent));
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + text).slice(-MAX_OUTPUT_BYTES);
    });
    let startError: Error | undefined;
    child.once("error", (err) => {
      startError = err;
    });
    child.once("close", (status) => {
      if (status === 0 && startError === undefined) done(output);
      else fail(whatFailed(format, options.signal, startError, complaint.trim()));
    });
  });
}

function whatFailed(
  format: ForeignFormat,
  signal: AbortSignal | undefined,
  startError: Error | undefined,
  complaint: string,
): Error {
  if (signal?.aborted === true) return new AppError("ERR_ABORTED", "the work was stopped before its end");
  if (fileErrorCode(startError) === "ENOENT") {
    return new AppError(
      "ERR_FORMAT_UNSUPPORTED",
      `the disk file cannot be packed: it is a ${format.name} file, and qemu-img, which reads those, is not ` +
        "installed (Debian package qemu-utils); or convert it where it is: qemu-img convert -O raw FILE disk.raw",
    );
  }
  if (startError !== undefined) return startError;
  if (complaint.includes("No space left")) {
    return new AppError(
      "ERR_STORE_FULL",
      `no space left for the raw copy of the ${format.name} file, beside the pack`,
    );
  }
  return new AppError("ERR_DISK_INVALID", `the ${format.name} file cannot be read: ${complaint}`);
}
