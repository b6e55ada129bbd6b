import { read } from "node:fs";
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { AppError, toHex } from "@ckmesh/core";
import { decodeHead, HEAD_BYTES, type SignedHead } from "@ckmesh/image";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import type { Visitor } from "../access/access.js";
import type { Catalogue, PublishedVersion } from "../catalogue/catalogue.js";
import type { CatalogueCache } from "../catalogue/catalogue-cache.js";
import type { OriginControls } from "../control/origin-controls.js";
import type { OriginDeltas } from "../deltas/origin-deltas.js";
import type { OpenFiles } from "../serve/open-files.js";
import { actorOf } from "./actor-of.js";
import { describeVersion } from "./api-routes.js";
import type { Actor, ImageRemover, RemovalRequest } from "./image-remover.js";

export interface ImageRoutesOptions {
  readonly catalogue: Catalogue;
  readonly controls: Pick<OriginControls, "describe">;
  readonly cache: Pick<CatalogueCache, "highest">;
  readonly openFiles: OpenFiles;
  readonly remover: Pick<ImageRemover, "remove">;
  readonly deltas: Pick<OriginDeltas, "obstacle">;
  readonly visitorOf: (request: IncomingMessage) => Visitor;
}

const readAt = promisify(read);
const ImageParams = Type.Object({ name: Type.String() });
const VersionParams = Type.Object({
  name: Type.String(),
  version: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
});
const DeleteQuery = Type.Object({ force: Type.Boolean({ default: false }) });

/** What admins see of images, and how they delete them. `api-paths.ts` says who may. */
export function addImageRoutes(app: FastifyInstance, options: ImageRoutesOptions): void {
  const typed = app.withTypeProvider<TypeBoxTypeProvider>();
  const { catalogue } = options;
  app.get("/ckmesh/api/images", (_request, reply) => {
    reply.header("Cache-Control", "no-store");
    return { images: catalogue.list().map((image) => describeImage(image, options)) };
  });
  typed.get("/ckmesh/api/images/:name", { schema: { params: ImageParams } }, (request, reply) => {
    reply.header("Cache-Control", "no-store");
    return describeImage(findImage(catalogue, request.params.name), options);
  });
  typed.get(
    "/ckmesh/api/images/:name/versions/:version",
    { schema: { params: VersionParams } },
    (request, reply) => {
      reply.header("Cache-Control", "no-store");
      const { name, version } = request.params;
      return describeInDetail(findVersion(catalogue, name, version), options);
    },
  );
  const remove = async (
    request: IncomingMessage,
    what: Omit<RemovalRequest, keyof Actor>,
  ): Promise<object> => {
    const removed = await options.remover.remove({ ...what, ...actorOf(request, options.visitorOf) });
    return {
      image: removed[0]?.name ?? what.name,
      deleted: removed.map(({ version, id }) => ({ version, id })),
      newest: catalogue.newest(what.name)?.version ?? null,
    };
  };
  typed.delete(
    "/ckmesh/api/images/:name",
    { schema: { params: ImageParams, querystring: DeleteQuery } },
    ({ raw, params, query }) => remove(raw, { ...params, isForced: query.force }),
  );
  typed.delete(
    "/ckmesh/api/images/:name/versions/:version",
    { schema: { params: VersionParams, querystring: DeleteQuery } },
    ({ raw, params, query }) => remove(raw, { ...params, isForced: query.force }),
  );
}

interface ListedImage {
  readonly name: string;
  readonly versions: readonly PublishedVersion[];
}

function describeImage({ name, versions }: ListedImage, options: ImageRoutesOptions): object {
  const { catalogue, cache, controls, deltas } = options;
  return {
    name,
    newest: catalogue.newest(name)?.version,
    // A number that was deleted is not free: it never stands for other content.
    next: Math.max(versions.at(-1)?.version ?? 0, cache.highest(name)) + 1,
    versions: versions.map((version) => ({
      ...describeVersion(version, catalogue.deltasTo(name, version.version)),
      withdrawn: catalogue.isWithdrawn(name, version.version),
      awaitsDelta: catalogue.awaitsDelta(name, version.version),
    })),
    deltaObstacle: deltas.obstacle(versions),
    control: controls.describe(name),
  };
}

async function describeInDetail(
  version: PublishedVersion,
  { catalogue, openFiles }: Pick<ImageRoutesOptions, "catalogue" | "openFiles">,
): Promise<object> {
  const head = describeHead(await readHead(version, openFiles));
  const deltas = catalogue.deltasTo(version.name, version.version);
  return { image: version.name, ...describeVersion(version, deltas), head };
}

/** The head for admins. Its secret opens the swarm, so it is not shown. */
function describeHead({ head, signatures }: SignedHead): object {
  return {
    previous:
      head.previous === undefined ? null : { version: head.previous.version, id: toHex(head.previous.id) },
    disk: head.disk === undefined ? null : { bytes: head.disk.size, format: head.disk.format },
    frames: head.counts.frames,
    keptFrames: head.counts.kept,
    signers: signatures.map(({ key }) => toHex(key)),
  };
}

async function readHead({ index, framesIndex }: PublishedVersion, openFiles: OpenFiles): Promise<SignedHead> {
  const file = await openFiles.acquire(framesIndex ?? index);
  try {
    const { buffer, bytesRead } = await readAt(file.fd, Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return decodeHead(buffer.subarray(0, bytesRead));
  } finally {
    file.release();
  }
}

function findImage(catalogue: Catalogue, name: string): ListedImage {
  const published = catalogue.nameOf(name);
  const image = catalogue.list().find((each) => each.name === published);
  if (image === undefined) throw notFound("there is no such image");
  return image;
}

function findVersion(catalogue: Catalogue, name: string, version: number): PublishedVersion {
  const image = findImage(catalogue, name);
  const found = image.versions.find((each) => each.version === version);
  if (found === undefined) throw notFound(`${image.name} has no version ${version}`);
  return found;
}

function notFound(message: string): AppError {
  return new AppError("ERR_IMAGE_NOT_FOUND", message);
}
