import { formatBytes } from "@ckmesh/core";
import type { ControlRecord } from "@ckmesh/image";
import type { ListedImage, VersionDetails } from "@ckmesh/publisher";
import { parseWhole } from "../cli-options.js";
import { rolloutText, withdrawalText } from "../control-text.js";
import type { Action } from "../leaf.js";
import { textTable } from "../text-table.js";
import { withAdminApi } from "../with-admin-api.js";

/** `image list`. */
export const list: Action = async ({ output, signal }, options) =>
  withAdminApi(options, async (api) => {
    const images = await api.images(signal);
    const rows = images.map(({ name, newest, versions }) => [
      name,
      newest === undefined ? "-" : String(newest),
      String(versions.length),
      formatBytes(versions.reduce((sum, { packBytes, indexBytes }) => sum + packBytes + indexBytes, 0)),
    ]);
    const table = rows.length === 0 ? [] : textTable(["image", "newest", "versions", "size"], rows);
    output.summary([...table, images.length === 1 ? "1 image" : `${images.length} images`], { images });
    return undefined;
  });

/** `image show NAME [VERSION]`. */
export const show: Action = async ({ output, signal }, options) =>
  withAdminApi(options, async (api) => {
    const name = options.arg(0);
    const text = options.optionalArg(1);
    if (text !== undefined) {
      const version = parseWhole("VERSION", text, 1, Number.MAX_SAFE_INTEGER);
      const details = await api.version(name, version, signal);
      output.summary(detailLines(details), { ...details });
      return undefined;
    }
    const image = await api.image(name, signal);
    const signed = await api.control(image.name, signal);
    output.summary(imageLines(image, signed?.record), { ...image, control: signed?.record ?? null });
    return undefined;
  });

function imageLines(image: ListedImage, control: ControlRecord | undefined): readonly string[] {
  const numbers = new Set([
    ...image.versions.map(({ version }) => version),
    ...(control?.rollouts ?? []).map(({ version }) => version),
  ]);
  const rows = [...numbers]
    .toSorted((a, b) => a - b)
    .map((version) => {
      const published = image.versions.find((each) => each.version === version);
      return [
        String(version),
        published === undefined ? "-" : formatBytes(published.packBytes),
        published === undefined ? "to come" : published.publishedAt.slice(0, 16).replace("T", " "),
        (published?.deltas ?? []).map(({ from }) => from).join(", "),
        [
          version === image.newest ? "newest" : "",
          image.held.includes(version) ? "held by the origin: too many clients failed" : "",
          published?.awaitsDelta === true ? "the alias waits for a delta to it" : "",
          withdrawalText(control, version),
          rolloutText(control, version),
        ]
          .filter((part) => part !== "")
          .join(", "),
      ];
    });
  return [
    ...(rows.length === 0
      ? []
      : textTable(["version", "pack", "published (UTC)", "deltas from", "state"], rows)),
    ...(image.deltaObstacle === undefined ? [] : [`no deltas are made to it: ${image.deltaObstacle}`]),
    `${image.name}: ${image.versions.length} versions, the next one is ${image.next}`,
  ];
}

function detailLines(details: VersionDetails): readonly string[] {
  const { previous, disk, frames, keptFrames, signers } = details;
  return [
    `id         ${details.id}`,
    `created    ${details.createdAt}`,
    `published  ${details.publishedAt}`,
    ...(previous === undefined
      ? []
      : [`previous   version ${previous.version}, ${keptFrames} of ${frames} frames kept`]),
    disk === undefined
      ? "disk       none (opaque pack)"
      : `disk       ${disk.format}, ${formatBytes(disk.bytes)}`,
    `index      ${formatBytes(details.indexBytes)}`,
    ...details.deltas.map(({ from, bytes }) => `delta      from version ${from}, ${formatBytes(bytes)}`),
    `signed by  ${signers.length === 0 ? "nobody" : signers.join(", ")}`,
    `${details.image} version ${details.version}: pack of ${formatBytes(details.packBytes)}`,
  ];
}
