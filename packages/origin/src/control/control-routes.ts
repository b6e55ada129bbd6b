import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import { parseImageName } from "@ckmesh/image";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type { FastifyInstance } from "fastify";
import { Type } from "typebox";
import type { Visitor } from "../access/access.js";
import type { Catalogue } from "../catalogue/catalogue.js";
import { RequestError } from "../listener/http-failure.js";
import { plainAddress } from "../listener/request-facts.js";
import type { OriginControls } from "./origin-controls.js";
import { OUTCOMES } from "./outcome-tally.js";

export interface ControlRoutesOptions {
  readonly catalogue: Catalogue;
  readonly controls: Pick<OriginControls, "records" | "rollouts">;
  readonly visitorOf: (request: IncomingMessage) => Visitor;
}

const ImageParams = Type.Object({ name: Type.String() });
/** 64 KiB in base64. */
const ControlBody = Type.Object({
  record: Type.String({ pattern: "^[A-Za-z0-9+/]+={0,2}$", maxLength: 87_384 }),
  replaces: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
});
const OutcomeBody = Type.Object({
  client: Type.String({ pattern: "^[0-9a-fA-F]{64}$" }),
  image: Type.String({ maxLength: 255 }),
  version: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  outcome: Type.Enum([...OUTCOMES]),
  code: Type.Optional(Type.String({ pattern: "^[A-Z][A-Z_]{0,63}$" })),
});

/** Control records come in, and what clients make of them. `api-paths.ts` says who may. */
export function addControlRoutes(app: FastifyInstance, options: ControlRoutesOptions): void {
  const typed = app.withTypeProvider<TypeBoxTypeProvider>();
  const { catalogue, visitorOf } = options;
  const { records, rollouts } = options.controls;
  typed.put(
    "/ckmesh/api/images/:name/control",
    { schema: { params: ImageParams, body: ControlBody } },
    async ({ params, body, raw }) => {
      const name = catalogue.nameOf(params.name) ?? parseImageName(params.name);
      const { identity } = visitorOf(raw);
      if (identity === undefined)
        throw new RequestError("ERR_AUTH_REQUIRED", "nobody known may change anything");
      const control = await records.put({
        name,
        bytes: Buffer.from(body.record, "base64"),
        source: { by: "api", user: identity.name, address: plainAddress(raw.socket.remoteAddress ?? "") },
        isPrivate: raw.socket instanceof TLSSocket,
        ...(body.replaces !== undefined && { replaces: body.replaces }),
      });
      return {
        image: name,
        serial: control.signed.record.serial,
        newest: catalogue.newest(name)?.version ?? null,
      };
    },
  );
  typed.post("/ckmesh/api/outcome", { schema: { body: OutcomeBody } }, (request, reply) => {
    rollouts.report(request.body);
    return reply.code(204).send();
  });
}
