import type { IncomingMessage } from "node:http";
import { type Clock, fromHex } from "@ckmesh/core";
import { issueTicket, TICKET_LIFETIME_MS } from "@ckmesh/wire";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import type { Access, Visitor } from "../access/access.js";
import type { Catalogue, PublishedDelta, PublishedVersion, ServedFile } from "../catalogue/catalogue.js";
import type { OriginControls } from "../control/origin-controls.js";
import type { OriginDeltas } from "../deltas/origin-deltas.js";
import { RequestError } from "../listener/http-failure.js";
import { plainAddress } from "../listener/request-facts.js";
import type { GateStatus } from "../publish/publish-gate.js";
import type { SiteMap } from "../serve/site-map.js";

export interface ApiRoutesOptions {
  readonly catalogue: Catalogue;
  readonly controls: Pick<OriginControls, "describe" | "status">;
  readonly deltas: Pick<OriginDeltas, "obstacle">;
  readonly access: Access;
  readonly gateStatus: () => GateStatus & { readonly makingDelta: string | undefined };
  readonly siteMap: () => SiteMap;
  /** Undefined: no tickets. */
  readonly fleetKey: Uint8Array | undefined;
  readonly clock: Clock;
  readonly startedAt: number;
  readonly visitorOf: (request: IncomingMessage) => Visitor;
  /** Prometheus' text format, where the metrics can be shown. */
  readonly metricsText: (() => Promise<string>) | undefined;
}

const PEER_ID_BYTES = 32;
const TicketQuery = Type.Object({ peer: Type.String({ pattern: `^[0-9a-fA-F]{${PEER_ID_BYTES * 2}}$` }) });

/** Catalogue, tickets, status, health and metrics: all are read only. `api-paths.ts` says what each path needs. */
export function addApiRoutes(app: FastifyInstance, options: ApiRoutesOptions): void {
  const typed = app.withTypeProvider<TypeBoxTypeProvider>();
  app.get("/healthz", () => ({ status: "ok" }));
  app.get("/metrics", async (_request, reply) => {
    if (options.metricsText === undefined) throw new RequestError("ERR_FILE_NOT_FOUND", "metrics are off");
    return reply.type("text/plain; version=0.0.4; charset=utf-8").send(await options.metricsText());
  });
  app.get("/ckmesh/catalogue", (_request, reply) => {
    reply.header("Cache-Control", "private, no-cache");
    return {
      images: options.catalogue.list().map(({ name, versions }) => ({
        name,
        newest: options.catalogue.newest(name)?.version,
        versions: versions.map((version) => ({
          ...describeVersion(version, options.catalogue.deltasTo(name, version.version)),
          withdrawn: options.catalogue.isWithdrawn(name, version.version),
          awaitsDelta: options.catalogue.awaitsDelta(name, version.version),
        })),
        deltaObstacle: options.deltas.obstacle(versions),
        control: options.controls.describe(name),
      })),
    };
  });
  typed.get("/ckmesh/ticket", { schema: { querystring: TicketQuery } }, (request, reply) => {
    reply.header("Cache-Control", "no-store");
    const address = plainAddress(request.raw.socket.remoteAddress ?? "");
    const user = options.visitorOf(request.raw).identity?.name ?? "anonymous";
    const ticket = makeTicket(request.query.peer, user, address, options);
    return { ticket: Buffer.from(ticket).toString("base64") };
  });
  app.get("/ckmesh/api/status", async (request, reply) => {
    reply.header("Cache-Control", "no-store");
    return describeStatus(options, options.visitorOf(request.raw));
  });
}

/** A version for the catalogue and for admins. */
export function describeVersion(version: PublishedVersion, deltas: readonly PublishedDelta[]): object {
  const { pack, index, framesIndex } = version;
  return {
    version: version.version,
    id: version.id,
    createdAt: new Date(version.createdAt * 1000).toISOString(),
    publishedAt: new Date(version.publishedAt).toISOString(),
    opaque: version.isOpaque,
    pack: describeFile(pack),
    index: describeFile(index),
    ...(framesIndex === undefined ? {} : { framesIndex: describeFile(framesIndex) }),
    deltas: deltas.map(({ from, id, pack: deltaPack, index: deltaIndex }) => ({
      from,
      id,
      pack: describeFile(deltaPack),
      index: describeFile(deltaIndex),
    })),
  };
}

function describeFile(file: ServedFile): object {
  return { file: file.fileName, bytes: file.size, etag: file.etag };
}

function makeTicket(peer: string, user: string, address: string, options: ApiRoutesOptions): Uint8Array {
  const { fleetKey, siteMap, clock } = options;
  if (fleetKey === undefined) {
    throw new RequestError("ERR_FILE_NOT_FOUND", "this origin issues no tickets: it has no fleet key");
  }
  const peerId = fromHex(peer, PEER_ID_BYTES);
  if (peerId === undefined) throw new Error("unreachable: the schema lets only peer ids pass");
  const site = siteMap().siteOf(address);
  return issueTicket(fleetKey, {
    peerId,
    user,
    role: "client",
    ...(site === undefined ? {} : { site }),
    expires: Math.round(clock.wall()) + TICKET_LIFETIME_MS,
  });
}

/** Reasons name files that are not published: for admins, or where everybody may read everything anyway. */
async function describeStatus(options: ApiRoutesOptions, visitor: Visitor): Promise<object> {
  const { refused, waiting, checking, makingDelta, folderError } = options.gateStatus();
  const isShown =
    options.access.settings.anonymousEnabled || (await options.access.isGranted("admin", visitor));
  return {
    startedAt: new Date(options.startedAt).toISOString(),
    images: options.catalogue.imageCount,
    versions: options.catalogue.versionCount,
    refusedCount: refused.length,
    waitingCount: waiting.length,
    folder: folderError === undefined ? "ok" : "unreadable",
    ...(isShown
      ? {
          refused: refused.map((r) => ({
            file: r.file,
            code: r.code,
            reason: r.reason,
            since: new Date(r.since).toISOString(),
          })),
          rollouts: options.controls.status(),
          waiting,
          checking: checking ?? null,
          makingDelta: makingDelta ?? null,
          folderError: folderError ?? null,
        }
      : {}),
  };
}
