import { formatBytes, formatDuration } from "@ckmesh/core";
import { rollbackSource, rollbackVersion, uploadVersion } from "@ckmesh/publisher";
import { cryptoRandom, systemClock } from "@ckmesh/runtime";
import { parseWhole } from "../cli-options.js";
import { confirm } from "../confirm.js";
import type { Action } from "../leaf.js";
import { openOriginCalls } from "../origin-calls.js";
import { readPublishers, readSigners } from "../signers.js";
import { withAdminApi } from "../with-admin-api.js";
import { uploadReports } from "./upload.js";

/** `image rollback NAME [VERSION]`: publishes old content as the next version. */
export const rollback: Action = async (context, options) => {
  const { output, signal } = context;
  const signers = await readSigners(options);
  const publishers = readPublishers(options);
  const text = options.optionalArg(1);
  const asked = text === undefined ? undefined : parseWhole("VERSION", text, 1, Number.MAX_SAFE_INTEGER);
  const { calls: packCalls } = await openOriginCalls(options);
  try {
    return await withAdminApi(options, async (api, calls) => {
      const image = await api.image(options.arg(0), signal);
      const control = await api.control(image.name, signal);
      const from = rollbackSource(image, control?.record, asked);
      await confirm(
        context,
        options,
        `Publish version ${from.version} of ${image.name} again, as version ${image.next}?`,
      );
      const start = performance.now();
      const common = { image, from, signers, publishers, calls, packCalls, clock: systemClock, signal };
      const version = await rollbackVersion(common);
      const uploaded = await uploadVersion(
        { version, ...uploadReports(output) },
        { calls, pacer: undefined, clock: systemClock, random: cryptoRandom, signal },
      );
      output.endProgress();
      const { bytesTotal, bytesSent } = uploaded;
      const ms = performance.now() - start;
      output.summary(
        [
          `${image.name} version ${version.version} is published, with the content of version ${from.version}: ` +
            `${formatBytes(bytesSent)} of ${formatBytes(bytesTotal)} sent in ${formatDuration(ms)}`,
        ],
        {
          image: image.name,
          version: version.version,
          from: from.version,
          isSigned: signers.length > 0,
          bytesTotal,
          bytesSent,
          seconds: Math.round(ms) / 1000,
        },
      );
      return undefined;
    });
  } finally {
    await packCalls.close();
  }
};
