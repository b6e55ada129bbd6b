import { AppError, describeError, formatBytes, formatDuration, isAppError, parseRate } from "@ckmesh/core";
import {
  openVersion,
  UploadPacer,
  UploadResumeFile,
  uploadVersion,
  type VersionUpload,
} from "@ckmesh/publisher";
import { cryptoRandom, systemClock } from "@ckmesh/runtime";
import type { CliOptions } from "../cli-options.js";
import type { Action } from "../leaf.js";
import { openOriginCalls } from "../origin-calls.js";
import type { Output } from "../output.js";

/** Servers drop those who send too slowly to get anywhere; bytes per second. */
const MIN_LIMIT = 1000;

const STOPPED = "the upload was stopped; the same command goes on where it is";

/** Uploads a version; broken off, it can be resumed. */
export const upload: Action = async ({ output, signal }, options) => {
  const bytesPerSec = limitOf(options);
  const version = await openVersion(options.arg(0));
  try {
    const { calls, url } = await openOriginCalls(options);
    try {
      const start = performance.now();
      const resume = await UploadResumeFile.open(resumePath(options.arg(0)), url);
      const uploaded = await uploadVersion(
        { version, resume, ...uploadReports(output) },
        {
          calls,
          pacer: bytesPerSec === undefined ? undefined : new UploadPacer(bytesPerSec, systemClock),
          clock: systemClock,
          random: cryptoRandom,
          signal,
        },
      ).catch((err: unknown) => {
        throw isAppError(err, "ERR_ABORTED") ? new AppError("ERR_ABORTED", STOPPED) : err;
      });
      output.endProgress();
      const { bytesTotal, bytesSent, bytesSpared, publishedVersion } = uploaded;
      const seconds = (performance.now() - start) / 1000;
      const spared = bytesSpared > 0 ? `, ${formatBytes(bytesSpared)} were there` : "";
      const end =
        publishedVersion === undefined
          ? `${version.name} version ${version.version} is uploaded`
          : `${version.name} version ${publishedVersion} is published`;
      output.summary(
        [`${end}: ${formatBytes(bytesSent)} sent in ${formatDuration(seconds * 1000)}${spared}`],
        {
          name: version.name,
          version: publishedVersion ?? version.version,
          url,
          published: publishedVersion !== undefined,
          bytesTotal,
          bytesSent,
          bytesSpared,
          seconds: Math.round(seconds * 1000) / 1000,
          bytesPerSec: Math.round(bytesSent / seconds),
        },
      );
    } finally {
      await calls.close();
    }
  } finally {
    await version.close();
  }
  return undefined;
};

/** Beside the index: `NAME_n.ckm.upload`. */
function resumePath(indexPath: string): string {
  return indexPath.replace(/\.index$/, ".upload");
}

function limitOf(options: CliOptions): number | undefined {
  const text = options.text("limit");
  if (text === undefined) return undefined;
  const bytesPerSec = parseRate(text);
  if (bytesPerSec < MIN_LIMIT)
    throw new AppError("ERR_USAGE", "--limit must be at least 8k (8 kbit/s): servers drop slower uploads");
  return bytesPerSec;
}

export type UploadReports = Pick<VersionUpload, "onProgress" | "onRetry" | "onWaiting" | "onUnresumable">;

/** What is said while an upload is under way. */
export function uploadReports(output: Output): UploadReports {
  let lastReason: string | undefined;
  return {
    onProgress({ phase, bytesDone, bytesTotal, bytesSent }) {
      output.progress({ phase, bytesDone, bytesTotal, fields: { bytesSent } });
    },
    onRetry({ code, message }, ms) {
      const seconds = Math.round(ms / 100) / 10;
      output.step("retry", `${message}; trying again in ${seconds} s`, { code, message, seconds });
    },
    onWaiting(reason) {
      if (reason === lastReason) return;
      lastReason = reason;
      output.step("waiting", `the origin cannot publish it yet: ${reason}`, { reason });
    },
    onUnresumable(err) {
      const message = describeError(err);
      output.step("unresumable", `if this breaks off it begins anew, for ${message}`, { message });
    },
  };
}
