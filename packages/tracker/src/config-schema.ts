import { Type } from "@ckmesh/runtime";
import type { Static } from "typebox";
import { DEFAULT_ANNOUNCE_MS, DEFAULT_LIMITS } from "./tracker-rules.js";

const count = (fallback: number, description: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum: 1_000_000, default: fallback, description }));

/** The configuration of a tracker: type, validation and documentation in one. */
export const trackerConfigSchema = Type.Object({
  listen: Type.Optional(
    Type.String({
      description: "ADDR:PORT for plain ws; beyond loopback only with open or allowPlain",
    }),
  ),
  tlsListen: Type.Optional(Type.String({ description: "ADDR:PORT for wss" })),
  tlsCert: Type.Optional(Type.String({ isPath: true, description: "certificate chain, PEM" })),
  tlsKey: Type.Optional(Type.String({ isPath: true, description: "private key, PEM" })),
  fleetKeyFile: Type.Optional(
    Type.String({
      isPath: true,
      description: "key that origin and tracker share: lets clients in by ticket",
    }),
  ),
  joinKeyFile: Type.Optional(
    Type.String({ isPath: true, description: "key that clients share: lets them in without a ticket" }),
  ),
  open: Type.Optional(
    Type.Boolean({ default: false, description: "plain ws and no ticket: tests and trusted networks" }),
  ),
  allowPlain: Type.Optional(
    Type.Boolean({ default: false, description: "plain ws beyond loopback, behind a TLS proxy" }),
  ),
  allowLoopback: Type.Optional(
    Type.Boolean({
      description:
        "hand out loopback addresses (tests, demo); default: when open or when every listener is on loopback",
    }),
  ),
  sites: Type.Optional(
    Type.Array(
      Type.Object({
        label: Type.String({ description: "name of the site" }),
        networks: Type.Array(Type.String(), { description: "its networks, CIDR" }),
      }),
      { description: "which networks are one site; without: one site for each subnet" },
    ),
  ),
  state: Type.Optional(
    Type.String({ isPath: true, description: "folder for the warm start; without: memory only" }),
  ),
  announceMs: Type.Optional(
    Type.Integer({
      minimum: 1_000,
      maximum: 3_600_000,
      default: DEFAULT_ANNOUNCE_MS,
      description: "how often clients announce each swarm, ms",
    }),
  ),
  limits: Type.Optional(
    Type.Object({
      maxConnections: count(DEFAULT_LIMITS.maxConnections, "connections at a time"),
      maxConnectionsPerAddress: count(
        DEFAULT_LIMITS.maxConnectionsPerAddress,
        "connections from one address (a branch may be behind one)",
      ),
      maxSwarmsPerPeer: count(DEFAULT_LIMITS.maxSwarmsPerPeer, "swarms of one client"),
      maxReports: count(DEFAULT_LIMITS.maxReports, "last reports that are kept"),
    }),
  ),
});

export type TrackerConfig = Static<typeof trackerConfigSchema>;
