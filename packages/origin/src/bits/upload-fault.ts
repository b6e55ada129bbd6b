import { BitsFault, diskFull, serverFailed } from "@ckmesh/bits";
import { isAppError } from "@ckmesh/core";
import { storeError } from "@ckmesh/store";

/** What a failure while an upload is handled means to its client. */
export function uploadFault(err: unknown, path: string): BitsFault {
  if (err instanceof BitsFault) return err;
  return isAppError(storeError(err, path), "ERR_STORE_FULL") ? diskFull(err) : serverFailed(err);
}
