import { describeError, type Logger } from "@ckmesh/core";
import type { Origin, OriginConfig } from "@ckmesh/origin";
import type { Output } from "./output.js";

/**
 * Makes an origin take its configuration again. What is wrong is logged, and the origin goes on as it was.
 * @param load reads all sources of the configuration again
 */
export async function reloadOrigin(
  origin: Pick<Origin, "reload">,
  load: () => OriginConfig,
  output: Output,
  logger: Logger,
): Promise<void> {
  try {
    const { changed, restart } = await origin.reload(load());
    logger.info({ changed, restart }, "configuration read again");
    if (restart.length > 0) logger.warn({ keys: restart }, "these settings count after a restart only");
    const later = restart.length === 0 ? "" : `; a restart is needed for ${restart.join(", ")}`;
    const now = changed.length === 0 ? "nothing changes now" : `now counts: ${changed.join(", ")}`;
    output.step("reloaded", `configuration read again, ${now}${later}`, { changed, restart });
  } catch (err) {
    const reason = describeError(err);
    logger.error({ err, reason }, "new configuration cannot be used, the old one stays");
    output.step("reload_failed", `new configuration cannot be used, the old one stays: ${reason}`, {
      reason,
    });
  }
}
