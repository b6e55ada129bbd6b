import type { Logger } from "@ckmesh/core";
import { destination as fileDestination, type LevelWithSilent, pino, stdSerializers } from "pino";

export interface LoggerOptions {
  readonly level: LevelWithSilent;
  /** A stream, a file path, or nothing for standard output. */
  readonly destination?: { write(line: string): unknown } | string | undefined;
  /** Fields of every line. */
  readonly base?: Readonly<Record<string, unknown>> | undefined;
}

/** Names that never reach a log, at the top of a line and one level down. */
const SECRET_FIELDS = [
  "authorization",
  "cookie",
  "credentials",
  "fleetKey",
  "joinKey",
  "password",
  "privateKey",
  "psk",
  "secret",
  "ticket",
  "token",
];

/** JSON lines with `level`, `time` (ISO 8601), the fields and `msg`; errors under `err`; secrets are masked. */
export function createLogger(options: LoggerOptions): Logger {
  const { destination } = options;
  const stream =
    destination === undefined || typeof destination === "string"
      ? fileDestination({ dest: destination ?? 1, sync: true, mkdir: true })
      : destination;
  return pino(
    {
      level: options.level,
      base: options.base ?? null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: stdSerializers.err },
      redact: {
        paths: [
          ...SECRET_FIELDS.flatMap((name) => [name, `*.${name}`]),
          "headers.authorization",
          "req.headers.authorization",
        ],
        censor: "********",
      },
    },
    stream,
  );
}
