import { Type } from "@ckmesh/runtime";
import type { Static } from "typebox";
import { authenticationDefaults, authenticationSchema } from "./authentication-schema.js";
import { bitsDefaults, bitsSchema } from "./bits-schema.js";

const Names = Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems: 10_000 });

/** What an origin is told. The keys inside blocks bear IIS's own names where IIS has the setting. */
export const originConfigSchema = Type.Object({
  virtualDirectory: Type.Object({
    name: Type.String({
      pattern: "^[A-Za-z0-9._-]{1,64}$",
      description: "First part of the path of every image URL",
    }),
    physicalPath: Type.String({ minLength: 1, isPath: true, description: "Folder with the images" }),
    directoryBrowse: Type.Boolean({ description: "Answer the folder's own URL with a list of its files" }),
    publicCache: Type.Boolean({
      description:
        "Let shared caches keep versions; whoever reads from such a cache is not asked for credentials",
    }),
  }),
  authentication: authenticationSchema,
  rights: Type.Object({ read: Names, change: Names, admin: Names }),
  bits: bitsSchema,
  listen: Type.Optional(
    Type.String({ minLength: 1, maxLength: 300, description: "ADDR:PORT of the plain listener" }),
  ),
  tlsListen: Type.Optional(
    Type.String({ minLength: 1, maxLength: 300, description: "ADDR:PORT of the TLS listener" }),
  ),
  certListen: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 300,
      description: "ADDR:PORT of the TLS listener that requires client certificates",
    }),
  ),
  tlsCert: Type.Optional(Type.String({ minLength: 1, isPath: true, description: "Certificate chain, PEM" })),
  tlsKey: Type.Optional(Type.String({ minLength: 1, isPath: true, description: "Private key, PEM" })),
  fleetKeyFile: Type.Optional(Type.String({ minLength: 1, isPath: true })),
  state: Type.Optional(
    Type.String({ minLength: 1, isPath: true, description: "Default: the folder's path and .state" }),
  ),
  tracker: Type.Optional(
    Type.String({ minLength: 1, maxLength: 2000, description: "ws:// or wss:// of the tracker" }),
  ),
  sites: Type.Optional(
    Type.Record(
      Type.String({ minLength: 1, maxLength: 64 }),
      Type.Array(Type.String({ maxLength: 64 }), { maxItems: 1000 }),
      {
        description: "Address map: site label to its networks (CIDR)",
      },
    ),
  ),
  trustedProxies: Type.Array(Type.String({ maxLength: 64 }), {
    maxItems: 1000,
    description: "Networks (CIDR) of proxies that give each client a connection of its own",
  }),
  publishers: Type.Array(Type.String({ pattern: "^[0-9a-fA-F]{64}$" }), {
    maxItems: 100,
    description: "Public keys; with any, an image that none of them signed is refused",
  }),
  publish: Type.Object({
    scanMs: Type.Integer({
      minimum: 20,
      maximum: 60_000,
      description: "Pause between two looks at the folder",
    }),
    settleMs: Type.Integer({
      minimum: 0,
      maximum: 600_000,
      description: "A pair is looked at when its files have not changed for this long",
    }),
  }),
  deltas: Type.Object({
    from: Type.Integer({
      minimum: 0,
      maximum: 8,
      description: "Deltas that are made to a new version, from as many versions before it; 0 = none",
    }),
    wait: Type.String({
      pattern: "^\\d{1,9}(?:\\.\\d{1,6})?(?:ms|s|m|h)$",
      description:
        "How long the alias of an image waits for the first of them, at most 24h; 0s = it does not",
    }),
    signKeyFile: Type.Optional(
      Type.String({
        minLength: 1,
        isPath: true,
        description: "Private key (PEM, ckmesh keygen) that signs them; without it signed versions get none",
      }),
    ),
  }),
  logFile: Type.Object({
    enabled: Type.Boolean(),
    directory: Type.Optional(
      Type.String({ minLength: 1, isPath: true, description: "Default: logs in the state folder" }),
    ),
  }),
  limits: Type.Object({
    maxConnections: Type.Integer({ minimum: 1, maximum: 1_000_000, description: "Of each listener" }),
    drainMs: Type.Integer({
      minimum: 0,
      maximum: 600_000,
      description: "Time for transfers to end at a stop",
    }),
    maxTransfers: Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      description: "File transfers at a time, all sites together; a site may hold as many as are still free",
    }),
    maxWaitingPerSite: Type.Integer({
      minimum: 0,
      maximum: 10_000,
      description: "Transfers of one site that wait for their turn; more are answered 429",
    }),
    transferWaitMs: Type.Integer({
      minimum: 0,
      maximum: 60_000,
      description:
        "Longest wait for a turn; then 429, or 503 when the origin is full. " +
        "From 3000 on, the other clients of a site take whoever waits for dead",
    }),
  }),
});

export type OriginConfig = Static<typeof originConfigSchema>;

/** Everything but the folder and the listeners. */
export const originConfigDefaults = {
  virtualDirectory: { name: "MEDVImages", directoryBrowse: false, publicCache: false },
  authentication: authenticationDefaults,
  rights: { read: ["Everyone"], change: [], admin: [] },
  bits: bitsDefaults,
  trustedProxies: [],
  publishers: [],
  publish: { scanMs: 1000, settleMs: 3000 },
  deltas: { from: 3, wait: "10m" },
  logFile: { enabled: true },
  limits: {
    maxConnections: 4096,
    drainMs: 10_000,
    maxTransfers: 4096,
    maxWaitingPerSite: 64,
    transferWaitMs: 2000,
  },
} as const;

/** How the command spells the flags whose keys lie deeper. */
export const originFlagNames: Readonly<Record<string, string>> = {
  "virtualDirectory.physicalPath": "--root",
  "authentication.anonymous.enabled": "--anonymous",
};
