import { AppError, Fields } from "@ckmesh/core";
import {
  controlFileName,
  decodeControl,
  MAX_CONTROL_BYTES,
  parseImageName,
  type SignedControl,
} from "@ckmesh/image";
import type { OriginAnswer, OriginCalls } from "@ckmesh/net";
import { refusalOf } from "./admin-refusal.js";

/** A version as the origin publishes it. */
export interface ListedVersion {
  readonly version: number;
  /** Version id, hexadecimal. */
  readonly id: string;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly publishedAt: string;
  readonly isOpaque: boolean;
  readonly packBytes: number;
  readonly indexBytes: number;
  /** That lead to it, from the newest base on. */
  readonly deltas: readonly ListedDelta[];
  /** The alias passes over it until the first of them is there. */
  readonly awaitsDelta: boolean;
}

interface ListedDelta {
  readonly from: number;
  /** Pack and index. */
  readonly bytes: number;
}

/** An image, as orders about it need it. */
export interface ImageVersions {
  readonly name: string;
  /** The lowest number that is free. */
  readonly next: number;
  /** Ascending. */
  readonly versions: readonly { readonly version: number }[];
}

export interface ListedImage extends ImageVersions {
  /** What the alias stands for; undefined when every version is withdrawn. */
  readonly newest: number | undefined;
  readonly versions: readonly ListedVersion[];
  /** Versions whose rollout the origin holds by itself. */
  readonly held: readonly number[];
  /** Why the origin makes no deltas to the newest one, and what to set there. */
  readonly deltaObstacle: string | undefined;
}

/** What only the head of its index says of a version. */
export interface VersionDetails extends ListedVersion {
  readonly image: string;
  readonly previous: { readonly version: number; readonly id: string } | undefined;
  readonly disk: { readonly bytes: number; readonly format: string } | undefined;
  readonly frames: number;
  readonly keptFrames: number;
  /** Public keys, hexadecimal; the signatures are not checked. */
  readonly signers: readonly string[];
}

export interface Deletion {
  readonly image: string;
  /** Ascending. */
  readonly deleted: readonly { readonly version: number; readonly id: string }[];
  readonly newest: number | undefined;
}

const IMAGES = "/ckmesh/api/images";
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const MAX_IMAGES = 10_000;
const MAX_VERSIONS = 200_000;
const MAX_SIGNERS = 8;
const MAX_REASON = 1000;
const MAX_NUMBER = Number.MAX_SAFE_INTEGER;
const WRITE_HEADERS = { "x-ckmesh": "1" };

/**
 * Orders to an origin, by its admin API (docs/admin-api.md). Everything throws
 * @throws {AppError} ERR_AUTH_REQUIRED, ERR_AUTH_FORBIDDEN, ERR_ORIGIN_UNREACHABLE, ERR_ORIGIN_INVALID, ERR_TIMEOUT,
 *   ERR_ABORTED; and, with `details.remoteCode`, what the origin said
 */
export class AdminApi {
  readonly #calls: OriginCalls;

  /** @param calls stays the caller's, to close it */
  constructor(calls: OriginCalls) {
    this.#calls = calls;
  }

  async images(signal?: AbortSignal): Promise<readonly ListedImage[]> {
    const fields = await this.#ask("GET", IMAGES, signal);
    return fields.list("images", MAX_IMAGES).map((item) => parseImage(fieldsOf(item, "image")));
  }

  /** @throws {AppError} ERR_IMAGE_NOT_FOUND */
  async image(name: string, signal?: AbortSignal): Promise<ListedImage> {
    return parseImage(await this.#ask("GET", imagePath(name), signal));
  }

  /** @throws {AppError} ERR_IMAGE_NOT_FOUND */
  async version(name: string, version: number, signal?: AbortSignal): Promise<VersionDetails> {
    return parseDetails(await this.#ask("GET", versionPath(name, version), signal));
  }

  /**
   * @param version absent: all
   * @throws {AppError} ERR_IMAGE_NOT_FOUND, ERR_VERSION_IN_USE without force
   */
  async delete(
    name: string,
    version: number | undefined,
    isForced: boolean,
    signal?: AbortSignal,
  ): Promise<Deletion> {
    const path = version === undefined ? imagePath(name) : versionPath(name, version);
    const fields = await this.#ask("DELETE", `${path}?force=${isForced}`, signal);
    return {
      image: parseName(fields),
      deleted: fields.list("deleted", MAX_VERSIONS).map((item) => parseVersionId(fieldsOf(item, "version"))),
      newest: optionalVersion(fields, "newest"),
    };
  }

  /**
   * The control record in force; undefined when there is none. Its signatures are only parsed.
   * @throws {AppError} ERR_CONTROL_INVALID
   */
  async control(name: string, signal?: AbortSignal): Promise<SignedControl | undefined> {
    const path = `${this.#calls.basePath}/${encodeURIComponent(controlFileName(name))}`;
    const answer = await this.#calls.send({
      method: "GET",
      path,
      // One byte more shows that it is too long.
      maxAnswerBytes: MAX_CONTROL_BYTES + 1,
      ...(signal !== undefined && { signal }),
    });
    if (answer.status === 404) return undefined;
    if (answer.status !== 200) throw refusalOf(answer, `GET ${path}`);
    return decodeControl(answer.bytes);
  }

  /**
   * Puts a control record in force.
   * @param replaces serial of the record that it was made from, 0 for none
   * @throws {AppError} ERR_CONTROL_OUTDATED when another one is in force by now, ERR_SIGNATURE_INVALID
   */
  async putControl(name: string, record: Uint8Array, replaces: number, signal?: AbortSignal): Promise<void> {
    const body = { record: Buffer.from(record).toString("base64"), replaces };
    await this.#ask("PUT", `${imagePath(name)}/control`, signal, body);
  }

  async #ask(
    method: "GET" | "PUT" | "DELETE",
    path: string,
    signal: AbortSignal | undefined,
    body?: object,
  ): Promise<Fields> {
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const answer = await this.#calls.send({
      method,
      path,
      headers: {
        accept: "application/json",
        ...(method !== "GET" && WRITE_HEADERS),
        ...(bytes !== undefined && { "content-type": "application/json" }),
      },
      ...(bytes !== undefined && { body: { length: bytes.length, read: () => once(bytes) } }),
      maxAnswerBytes: MAX_ANSWER_BYTES,
      ...(signal !== undefined && { signal }),
    });
    const what = `${method} ${path.replace(/\?.*$/, "")}`;
    if (answer.status !== 200) throw refusalOf(answer, what);
    return parseAnswer(answer, what);
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function imagePath(name: string): string {
  return `${IMAGES}/${encodeURIComponent(parseImageName(name))}`;
}

function versionPath(name: string, version: number): string {
  return `${imagePath(name)}/versions/${version}`;
}

function parseAnswer({ bytes }: OriginAnswer, what: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new AppError(
      "ERR_ORIGIN_INVALID",
      `the answer to ${what} is no JSON: the server has no admin API, or something on the way changes answers`,
      { cause },
    );
  }
  return fieldsOf(value, what);
}

function parseImage(fields: Fields): ListedImage {
  return {
    name: parseName(fields, "name"),
    newest: optionalVersion(fields, "newest"),
    next: fields.int("next", 1, MAX_NUMBER),
    versions: fields.list("versions", MAX_VERSIONS).map((item) => parseVersion(fieldsOf(item, "version"))),
    held: fields.has("control") ? parseHeld(fields.map("control")) : [],
    deltaObstacle: fields.has("deltaObstacle") ? fields.string("deltaObstacle", MAX_REASON) : undefined,
  };
}

function parseHeld(control: Fields): readonly number[] {
  return control.list("held", MAX_VERSIONS).filter((version) => typeof version === "number");
}

function parseVersion(fields: Fields): ListedVersion {
  return {
    ...parseVersionId(fields),
    createdAt: fields.string("createdAt", 40),
    publishedAt: fields.string("publishedAt", 40),
    isOpaque: fields.boolean("opaque"),
    packBytes: fields.map("pack").int("bytes", 0, MAX_NUMBER),
    indexBytes: fields.map("index").int("bytes", 0, MAX_NUMBER),
    // Origins from before deltas say nothing of them.
    deltas: fields.has("deltas") ? fields.list("deltas", MAX_VERSIONS).map(parseDelta) : [],
    awaitsDelta: fields.has("awaitsDelta") && fields.boolean("awaitsDelta"),
  };
}

function parseDelta(item: unknown): ListedDelta {
  const fields = fieldsOf(item, "delta");
  const bytes = (["pack", "index"] as const).map((file) => fields.map(file).int("bytes", 0, MAX_NUMBER));
  return { from: fields.int("from", 1, MAX_NUMBER), bytes: bytes.reduce((sum, each) => sum + each, 0) };
}

function parseDetails(fields: Fields): VersionDetails {
  const head = fields.map("head");
  const disk = head.has("disk") ? head.map("disk") : undefined;
  return {
    image: parseName(fields),
    ...parseVersion(fields),
    previous: head.has("previous") ? parseVersionId(head.map("previous")) : undefined,
    disk:
      disk === undefined
        ? undefined
        : { bytes: disk.int("bytes", 1, MAX_NUMBER), format: disk.string("format", 20) },
    frames: head.int("frames", 0, MAX_NUMBER),
    keptFrames: head.int("keptFrames", 0, MAX_NUMBER),
    signers: head.strings("signers", MAX_SIGNERS, 64),
  };
}

function parseVersionId(fields: Fields): { readonly version: number; readonly id: string } {
  return { version: fields.int("version", 1, MAX_NUMBER), id: fields.string("id", 64) };
}

function optionalVersion(fields: Fields, key: string): number | undefined {
  return fields.has(key) ? fields.int(key, 1, MAX_NUMBER) : undefined;
}

function parseName(fields: Fields, key = "image"): string {
  try {
    return parseImageName(fields.string(key, 255));
  } catch (cause) {
    throw new AppError("ERR_ORIGIN_INVALID", "the origin names an image that cannot be", { cause });
  }
}

function fieldsOf(value: unknown, what: string): Fields {
  return new Fields(value, what, "ERR_ORIGIN_INVALID");
}
