import { isAppError } from "@ckmesh/core";
import { parseImageName } from "../image-name.js";

const SUFFIX = ".control.index";

/** `NAME.control.index`: ends like an index, so that servers which serve those serve it too. */
export function controlFileName(name: string): string {
  return `${name}${SUFFIX}`;
}

/** The image that a file name is the control record of (case counts); undefined for any other name. */
export function parseControlFileName(fileName: string): string | undefined {
  if (!fileName.endsWith(SUFFIX)) return undefined;
  try {
    return parseImageName(fileName.slice(0, -SUFFIX.length));
  } catch (err) {
    if (!isAppError(err)) throw err;
    return undefined;
  }
}
