import type { Clock } from "@ckmesh/core";
import { AwakeStopwatch } from "../poll/awake-stopwatch.js";
import type { WanControl } from "../wan/wan-control.js";
import type { OriginRows } from "./origin-rows.js";

/**
 * The same rows at the origin; tells how long the first byte of each request took where the client gives way to
 * others, and the pacer when the origin is one that ignores ranges.
 */
export function timeFirstByte(
  rows: Pick<OriginRows, "fetch">,
  { wan, clock }: { readonly wan?: Pick<WanControl, "pacer">; readonly clock: Clock },
  onFirstByte: (ms: number) => void,
): Pick<OriginRows, "fetch"> {
  if (wan === undefined || wan.pacer.limit.type === "none") return rows;
  const { pacer } = wan;
  return {
    async fetch(request) {
      const stopwatch = pacer.limit.type === "yield" ? new AwakeStopwatch(clock) : undefined;
      const onData = (bytes: Uint8Array): void | Promise<void> => {
        const ms = stopwatch?.stop();
        if (ms !== undefined) onFirstByte(ms);
        return request.onData(bytes);
      };
      const onSkipped = (count: number): void => {
        stopwatch?.stop();
        pacer.ignoresRanges();
        request.onSkipped(count);
      };
      try {
        await rows.fetch({ ...request, onData, onSkipped });
      } finally {
        stopwatch?.stop();
      }
    },
  };
}
