import { Type } from "@ckmesh/runtime";
import type { Static } from "typebox";

const Size = (description: string) =>
  Type.String({ pattern: "^(?:\\d{1,12}(?:\\.\\d{1,6})?\\s*(?:[kKMGT]i?B?|B)?)?$", description });

/** Uploads, under the names of the properties that BITS adds to IIS ("BITS IIS Extension Properties"). */
export const bitsSchema = Type.Object({
  BITSUploadEnabled: Type.Boolean(),
  BITSSessionTimeout: Type.Integer({
    minimum: 1,
    maximum: 4_294_967_295,
    description: "Seconds without a message until a session and its bytes are deleted",
  }),
  BITSMaximumUploadSize: Type.String({
    pattern: "^\\d{0,16}$",
    description: "Bytes of one upload, decimal; empty = 1844674407370955",
  }),
  BITSAllowOverwrites: Type.Boolean({
    description: "A version that exists may be uploaded again: the same content, for damaged files",
  }),
  BITSHostId: Type.String({
    maxLength: 300,
    pattern: "^[A-Za-z0-9._:\\[\\]-]*$",
    description:
      "Name or address of this server, for origins behind one name that do not share their staging",
  }),
  BITSHostIdFallbackTimeout: Type.Integer({
    minimum: 1,
    maximum: 4_294_967_295,
    description: "Seconds until a client that cannot reach BITSHostId tries the common name again",
  }),
  BITSServerNotificationType: Type.Integer({
    minimum: 0,
    maximum: 2,
    description: "0: nobody is told; 1: a program is told where the file lies; 2: it is sent the file",
  }),
  BITSServerNotificationURL: Type.String({ maxLength: 2200, description: "URL of that program" }),
  BITSNumberOfSessionsLimit: Type.Integer({
    minimum: 1,
    maximum: 10_000,
    description: "Sessions of one user",
  }),
  BITSSessionLimitEnable: Type.Boolean(),
  BITSCleanupUseDefault: Type.Boolean({ description: "Surplus sessions are looked for every 12 hours" }),
  BITSCleanupCount: Type.Integer({ minimum: 1, maximum: 360 }),
  BITSCleanupUnits: Type.Integer({ minimum: 0, maximum: 2, description: "0: minutes, 1: hours, 2: days" }),
  stagingPath: Type.Optional(
    Type.String({
      minLength: 1,
      isPath: true,
      description:
        "Folder of what is not published yet, on the images' file system; default: uploads in the state folder",
    }),
  ),
  stagingQuota: Size("Most that all sessions together may hold: 200GB; empty = no limit"),
  freeSpaceReserve: Size("What uploads leave free on the file system: 1GB; empty = nothing"),
});

export type BitsConfig = Static<typeof bitsSchema>;

/** IIS's own defaults; the last two are ours. */
export const bitsDefaults = {
  BITSUploadEnabled: false,
  BITSSessionTimeout: 1_209_600,
  BITSMaximumUploadSize: "",
  BITSAllowOverwrites: false,
  BITSHostId: "",
  BITSHostIdFallbackTimeout: 86_400,
  BITSServerNotificationType: 0,
  BITSServerNotificationURL: "",
  BITSNumberOfSessionsLimit: 50,
  BITSSessionLimitEnable: true,
  BITSCleanupUseDefault: true,
  BITSCleanupCount: 12,
  BITSCleanupUnits: 1,
  stagingQuota: "",
  freeSpaceReserve: "1GB",
} as const;
