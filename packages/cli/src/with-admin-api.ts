import type { OriginCalls } from "@ckmesh/net";
import { AdminApi } from "@ckmesh/publisher";
import type { CliOptions } from "./cli-options.js";
import { openOriginCalls } from "./origin-calls.js";

/** Runs `use` with the admin API of the origin of `--to`, and closes the connection. */
export async function withAdminApi<T>(
  options: CliOptions,
  use: (api: AdminApi, calls: OriginCalls) => Promise<T>,
): Promise<T> {
  const { calls } = await openOriginCalls(options);
  try {
    return await use(new AdminApi(calls), calls);
  } finally {
    await calls.close();
  }
}
