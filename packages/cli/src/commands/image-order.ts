import { AppError, isAppError } from "@ckmesh/core";
import { type ControlRecord, parseImageName } from "@ckmesh/image";
import {
  type AdminApi,
  type ControlOrder,
  ImageFolder,
  type ImageVersions,
  sendOrder,
} from "@ckmesh/publisher";
import { systemClock } from "@ckmesh/runtime";
import { type CliOptions, parseWhole } from "../cli-options.js";
import { confirm } from "../confirm.js";
import { rolloutText, withdrawalText } from "../control-text.js";
import type { Action } from "../leaf.js";
import { parsePercent, parseRing } from "../parse-ring.js";
import type { CommandContext } from "../run-command.js";
import { readPublishers, readSigners } from "../signers.js";
import { withAdminApi } from "../with-admin-api.js";

const DEFAULT_MIN_REPORTS = 10;
const MAX_REPORTS = 1_000_000;
const MAX_REASON_CHARS = 500;

/** `image withdraw NAME VERSION`. */
export const withdraw: Action = async (context, options) =>
  carryOut(context, options, async (image, control) => {
    const version = versionOf(options);
    if (version >= image.next) throw unknownVersion(image, version);
    const reason = options.text("reason");
    if (reason !== undefined && reason.length > MAX_REASON_CHARS) {
      throw new AppError("ERR_USAGE", `--reason has more than ${MAX_REASON_CHARS} characters`);
    }
    const backTo = options.int("backTo", 1, version - 1) ?? lastGood(image, control, version);
    const where =
      backTo === undefined ? "there is no version to go back to" : `clients go back to version ${backTo}`;
    await confirm(context, options, `Withdraw version ${version} of ${image.name} (${where})?`);
    return {
      type: "withdraw",
      version,
      ...(reason !== undefined && { reason }),
      ...(backTo !== undefined && { backTo }),
    };
  });

/** `image restore NAME VERSION`. */
export const restore: Action = async (context, options) =>
  carryOut(context, options, () => ({ type: "restore", version: versionOf(options) }));

/** `image ring NAME VERSION --ring …`. */
export const ring: Action = async (context, options) =>
  carryOut(context, options, (image) => {
    const failureLimit = failureLimitOf(options);
    return {
      type: "ring",
      version: rolledOut(image, options),
      rings: (options.list("ring") ?? []).map(parseRing),
      ...(failureLimit !== undefined && { failureLimit }),
    };
  });

/** `image approve NAME VERSION`. */
export const approve: Action = async (context, options) =>
  carryOut(context, options, (image) => ({
    type: "approve",
    version: rolledOut(image, options),
    isAll: options.flag("all") === true,
  }));

/** `image activate NAME VERSION --at TIME`. */
export const activate: Action = async (context, options) =>
  carryOut(context, options, (image) => {
    const activateAt = timeOf(options, "at");
    const prefetchAt = timeOf(options, "prefetchFrom");
    const isNow = options.flag("now") === true;
    if (isNow === (activateAt !== undefined)) throw new AppError("ERR_USAGE", "give --at TIME, or --now");
    if (prefetchAt !== undefined && (activateAt === undefined || prefetchAt > activateAt)) {
      throw new AppError("ERR_USAGE", "--prefetch-from is a time before --at");
    }
    return {
      type: "activate",
      version: rolledOut(image, options),
      ...(activateAt !== undefined && { activateAt }),
      ...(prefetchAt !== undefined && { prefetchAt }),
    };
  });

/** `image hold NAME VERSION`. */
export const hold: Action = async (context, options) =>
  carryOut(context, options, (image) => ({ type: "hold", version: rolledOut(image, options) }));

/** `image release NAME VERSION`. */
export const release: Action = async (context, options) =>
  carryOut(context, options, (image) => ({ type: "release", version: rolledOut(image, options) }));

type MakeOrder = (
  image: ImageVersions,
  control: ControlRecord | undefined,
) => ControlOrder | Promise<ControlOrder>;

/** Where records are kept: an origin of ours, or the folder of any other server. */
type Place = Pick<AdminApi, "control" | "putControl"> & {
  image(name: string, signal: AbortSignal): Promise<ImageVersions>;
};

async function carryOut(
  { output, signal }: CommandContext,
  options: CliOptions,
  makeOrder: MakeOrder,
): Promise<undefined> {
  const signers = await readSigners(options);
  const publishers = readPublishers(options);
  return withPlace(options, async (place) => {
    const image = await imageOf(place, options.arg(0), signal);
    const signed = await place.control(image.name, signal);
    const order = await makeOrder(image, signed?.record);
    const common = { place, image: image.name, order, signers, publishers, clock: systemClock };
    const record = await sendOrder({ ...common, signal });
    const { version } = order;
    const said = [withdrawalText(record, version), rolloutText(record, version)].filter(
      (part) => part !== "",
    );
    output.summary(
      [`${image.name} version ${version}: ${said.length === 0 ? "for everybody" : said.join(", ")}`],
      { image: image.name, version, order: order.type, isSigned: signers.length > 0, control: record },
    );
    return undefined;
  });
}

async function withPlace<T>(options: CliOptions, use: (place: Place) => Promise<T>): Promise<T> {
  const folder = options.text("folder");
  if ((folder === undefined) === (options.text("to") === undefined)) {
    throw new AppError("ERR_USAGE", "give --to URL of an origin, or --folder DIR of a stock web server");
  }
  return folder === undefined ? withAdminApi(options, use) : use(new ImageFolder(folder));
}

/** Orders may come before the first version. */
async function imageOf(place: Place, name: string, signal: AbortSignal): Promise<ImageVersions> {
  try {
    return await place.image(name, signal);
  } catch (err) {
    if (!isAppError(err, "ERR_IMAGE_NOT_FOUND")) throw err;
    return { name: parseImageName(name), next: 1, versions: [] };
  }
}

function versionOf(options: CliOptions): number {
  return parseWhole("VERSION", options.arg(1), 1, Number.MAX_SAFE_INTEGER);
}

/** A version that is published, or still to come. */
function rolledOut(image: ImageVersions, options: CliOptions): number {
  const version = versionOf(options);
  if (version < image.next && !image.versions.some((each) => each.version === version)) {
    throw unknownVersion(image, version);
  }
  return version;
}

function unknownVersion({ name, next }: ImageVersions, version: number): AppError {
  return new AppError(
    "ERR_IMAGE_NOT_FOUND",
    `${name} has no version ${version}; the next one will be ${next}`,
  );
}

function lastGood(
  { versions }: ImageVersions,
  control: ControlRecord | undefined,
  bad: number,
): number | undefined {
  const withdrawn = new Set(control?.withdrawn.map(({ version }) => version));
  return versions.findLast(({ version }) => version < bad && !withdrawn.has(version))?.version;
}

function failureLimitOf(
  options: CliOptions,
): { readonly percent: number; readonly minReports: number } | undefined {
  const text = options.text("failureLimit");
  const minReports = options.int("minReports", 1, MAX_REPORTS);
  if (text === undefined) {
    if (minReports !== undefined) throw new AppError("ERR_USAGE", "--min-reports goes with --failure-limit");
    return undefined;
  }
  const percent = parsePercent(text);
  if (percent === undefined) throw new AppError("ERR_USAGE", "--failure-limit is a share from 0% to 100%");
  return { percent, minReports: minReports ?? DEFAULT_MIN_REPORTS };
}

/** Unix seconds. */
function timeOf(options: CliOptions, key: "at" | "prefetchFrom"): number | undefined {
  const text = options.text(key);
  if (text === undefined) return undefined;
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) {
    throw new AppError(
      "ERR_USAGE",
      `${JSON.stringify(text)} is no time: write 2026-12-01T06:00 or 2026-12-01T06:00Z`,
    );
  }
  return Math.floor(ms / 1000);
}
