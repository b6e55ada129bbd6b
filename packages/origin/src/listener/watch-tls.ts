import { type Clock, describeError, type Logger } from "@ckmesh/core";
import type { OriginConfig } from "../config/config-schema.js";
import type { Listener } from "./listener.js";
import { readTlsFiles, tlsStamp } from "./tls-options.js";

/** How often certificate files are looked at. */
const TLS_CHECK_MS = 30_000;

/**
 * Takes renewed certificates without a restart; connections under way keep theirs.
 * @returns what stops looking, and what looks at once
 */
export function watchTls(
  config: Pick<OriginConfig, "tlsCert" | "tlsKey">,
  listeners: readonly Pick<Listener, "isTls" | "replaceTls">[],
  clock: Clock,
  logger: Logger,
): { readonly stop: () => void; readonly look: () => void } {
  const { tlsCert, tlsKey } = config;
  if (tlsCert === undefined || tlsKey === undefined) return { stop: () => {}, look: () => {} };
  let stamp = tlsStamp(tlsCert, tlsKey);
  const look = (): void => {
    const now = tlsStamp(tlsCert, tlsKey);
    if (now !== "" && now !== stamp) {
      stamp = now;
      try {
        const files = readTlsFiles(tlsCert, tlsKey);
        for (const listener of listeners) if (listener.isTls) listener.replaceTls(files);
        logger.info({ tlsCert }, "certificate read again");
      } catch (err) {
        logger.error(
          { err, reason: describeError(err) },
          "new certificate cannot be used, the old one stays",
        );
      }
    }
  };
  const lookAgain = (): void => {
    look();
    cancel = clock.after(TLS_CHECK_MS, lookAgain);
  };
  let cancel = clock.after(TLS_CHECK_MS, lookAgain);
  return { stop: () => cancel(), look };
}
