import type { IncomingMessage } from "node:http";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import type { Visitor } from "../access/access.js";
import { RequestError } from "../listener/http-failure.js";
import type { Upload } from "../uploads/upload.js";
import type { Uploads } from "../uploads/uploads.js";
import { actorOf } from "./actor-of.js";
import type { Actor } from "./image-remover.js";

export interface UploadRoutesOptions {
  readonly uploads: Uploads;
  /** Ends an upload that is still received; false when there is none. */
  readonly dropSession: (id: string, actor: Actor) => Promise<boolean>;
  readonly directoryName: string;
  readonly visitorOf: (request: IncomingMessage) => Visitor;
}

const UploadParams = Type.Object({ id: Type.String() });

/** What became of uploaded files, and how they are taken away. `api-paths.ts` says who may. */
export function addUploadRoutes(app: FastifyInstance, options: UploadRoutesOptions): void {
  const { uploads, dropSession, directoryName, visitorOf } = options;
  const typed = app.withTypeProvider<TypeBoxTypeProvider>();
  app.get("/ckmesh/api/uploads", (_request, reply) => {
    reply.header("Cache-Control", "no-store");
    return { uploads: uploads.list().map((upload) => describeUpload(upload, directoryName)) };
  });
  const remove = async (request: IncomingMessage, id: string): Promise<object> => {
    const key = id.toLowerCase();
    const actor = actorOf(request, visitorOf);
    const isRemoved = (await uploads.remove(key, actor)) || (await dropSession(key, actor));
    if (!isRemoved) throw new RequestError("ERR_FILE_NOT_FOUND", "there is no such upload");
    return { deleted: id };
  };
  typed.delete("/ckmesh/api/uploads/:id", { schema: { params: UploadParams } }, ({ raw, params }) =>
    remove(raw, params.id),
  );
}

function describeUpload(upload: Readonly<Upload>, directoryName: string): object {
  const { id, user, target, state, received, total, closedAt, end } = upload;
  return {
    id,
    user: user.name,
    url: `/${directoryName}/${encodeURIComponent(target.fileName)}`,
    state,
    received,
    total: total ?? null,
    closedAt: closedAt === undefined ? null : new Date(closedAt).toISOString(),
    endedAt: end === undefined ? null : new Date(end.at).toISOString(),
    reason: reasonOf(upload),
    code: end?.state === "refused" ? end.code : null,
    image: end?.state === "published" ? end.image : target.image,
    version: end?.state === "published" ? end.version : (upload.index?.version ?? target.version ?? null),
  };
}

function reasonOf({ state, target, trouble, end }: Readonly<Upload>): string | null {
  if (end?.state === "refused") return end.reason;
  if (state !== "waiting") return null;
  return trouble ?? (target.kind === "pack" ? "waits for its index" : "waits for its pack");
}
