import { formatBytes } from "@ckmesh/core";
import type { ListedImage } from "@ckmesh/publisher";
import { parseWhole } from "../cli-options.js";
import { confirm } from "../confirm.js";
import type { Action } from "../leaf.js";
import { withAdminApi } from "../with-admin-api.js";

/** `image delete NAME [VERSION]`. */
export const deleteImage: Action = async (context, options) =>
  withAdminApi(options, async (api) => {
    const { output, signal } = context;
    const text = options.optionalArg(1);
    const version = text === undefined ? undefined : parseWhole("VERSION", text, 1, Number.MAX_SAFE_INTEGER);
    const image = await api.image(options.arg(0), signal);
    await confirm(context, options, question(image, version));
    const deletion = await api.delete(image.name, version, options.flag("force") === true, signal);
    const { deleted, newest } = deletion;
    output.summary(
      [
        newest === undefined ? "no version is left" : `the newest is version ${newest}`,
        `${image.name}: deleted ${deleted.map((each) => each.version).join(", ")}`,
      ],
      { image: image.name, deleted, newest: newest ?? null },
    );
    return undefined;
  });

function question({ name, versions }: ListedImage, version: number | undefined): string {
  const chosen = versions.filter((each) => version === undefined || each.version === version);
  const bytes = chosen.reduce((sum, { packBytes, indexBytes }) => sum + packBytes + indexBytes, 0);
  const what = version === undefined ? `all ${versions.length} versions` : `version ${version}`;
  return `Delete ${what} of ${name} (${formatBytes(bytes)})?`;
}
