import { BitsFault, HRESULT } from "@ckmesh/bits";
import { parseServedName } from "@ckmesh/image";
import type { UploadTarget } from "./upload-intake.js";

/** Longer segments name nothing, however they are encoded: 255 bytes, each as `%XX`. */
const MAX_SEGMENT = 765;

/**
 * Reads the last segment of a URL, still encoded. Decoded once; what then is no name of a pack or an index of an
 * image is refused before any file is looked at.
 * @throws {BitsFault} 400
 */
export function parseUploadTarget(segment: string): UploadTarget {
  if (segment.length > MAX_SEGMENT) throw noUpload("the name is too long");
  const decoded = decode(segment);
  if (decoded === undefined) throw noUpload("the URL holds a wrong escape");
  // Proxies and other servers may decode once more: what they would make of it is nobody's guess.
  if (decoded.includes("%")) throw noUpload("a name with a percent sign is ambiguous in URLs");
  const fileName = decoded.normalize("NFC");
  // Image names know case, our suffixes do not: Windows writes them as it likes.
  const suffix = /\.ckm(?:\.index)?$/i.exec(fileName)?.[0];
  if (suffix === undefined) throw noUpload("only .ckm and .ckm.index files are taken here");
  const served = parseServedName(fileName.slice(0, -suffix.length) + suffix.toLowerCase());
  if (served === undefined) throw noUpload("this is no name of an image");
  if (served.kind === "frames-index") throw noUpload("the origin makes this kind of index itself");
  if (served.from !== undefined) throw noUpload("deltas are not uploaded");
  const { name, kind, version } = served;
  return { image: name, kind, ...(version === undefined ? {} : { version }), fileName };
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined; // A bad escape or wrong UTF-8: names nothing.
  }
}

function noUpload(why: string): BitsFault {
  return new BitsFault("ERR_IMAGE_NAME_INVALID", `cannot be uploaded: ${why}`, {
    status: 400,
    hresult: HRESULT.invalidArgument,
  });
}
