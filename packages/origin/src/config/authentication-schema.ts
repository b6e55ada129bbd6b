import { Type } from "@ckmesh/runtime";
import type { Static } from "typebox";

const Text = (maxLength: number, description?: string) =>
  Type.String({ minLength: 1, maxLength, ...(description === undefined ? {} : { description }) });
const File = (description: string) => Type.String({ minLength: 1, isPath: true, description });
const NetbiosName = Type.String({
  pattern: "^[A-Za-z0-9!@#$%^&()_'{}.~-]{1,15}$",
  description: "NetBIOS name of the domain: MEDV in MEDV\\alice",
});

const basic = Type.Object({
  enabled: Type.Boolean(),
  realm: Type.String({ maxLength: 64 }),
  defaultLogonDomain: Type.String({
    maxLength: 64,
    description: "Domain of names that come without one; empty = local accounts first, then the domain",
  }),
  allowOverHttp: Type.Boolean({
    description: "Take passwords without TLS, readable by everyone on the way",
  }),
});

const windows = Type.Object({
  enabled: Type.Boolean(),
  providers: Type.Array(Type.Enum(["Negotiate", "NTLM"]), {
    minItems: 1,
    maxItems: 2,
    description: "In the order in which they are offered",
  }),
  authPersistNonNTLM: Type.Boolean({
    description: "Kerberos counts for the connection, not for one request",
  }),
  authPersistSingleRequest: Type.Boolean({ description: "Nothing counts beyond one request" }),
  extendedProtection: Type.Object({
    tokenChecking: Type.Enum(["None", "Allow", "Require"], {
      description: "Channel binding: not looked at, checked where it is sent, or demanded",
    }),
    spns: Type.Array(Text(256), {
      maxItems: 100,
      description: "Service names that clients may name (HTTP/host); empty = any",
    }),
  }),
  kerberos: Type.Optional(
    Type.Object({
      keytab: File("Keys of HTTP/host"),
      realms: Type.Array(Text(256), {
        minItems: 1,
        maxItems: 16,
        description: "Realms whose users are those of the domain",
      }),
    }),
  ),
  ntlm: Type.Object({
    requireMic: Type.Boolean({ description: "Refuse clients that do not protect their messages (curl)" }),
  }),
  netbiosDomain: Type.Optional(NetbiosName),
});

const logon = Type.Object({
  domain: Type.Enum(["none", "winbind", "ldap"], {
    description: "Who judges the passwords of the domain: ntlm_auth of Samba, or the directory by a bind",
  }),
  ntlmAuth: Type.Array(Text(1000), {
    minItems: 1,
    maxItems: 16,
    description: "Samba's helper program, with arguments to go first",
  }),
});

const oneToOneMapping = Type.Object({
  sha256: Text(128, "Fingerprint of the whole certificate"),
  account: Text(256),
});

const manyToOneMapping = Type.Object({
  name: Type.Optional(Text(256)),
  permission: Type.Enum(["permit", "deny"]),
  account: Type.Optional(Text(256)),
  rules: Type.Array(
    Type.Object({
      field: Type.Enum(["issuer", "subject"]),
      sub: Text(64, "CN, O, OU, L, S, C, E, …"),
      match: Text(1024, "* stands for any text"),
      caseSensitive: Type.Optional(Type.Boolean()),
    }),
    { minItems: 1, maxItems: 32 },
  ),
});

const clientCertificates = Type.Optional(
  Type.Object({
    ca: File("CAs whose client certificates count, PEM"),
    crl: Type.Optional(
      Type.Array(File("Revocation list, PEM"), {
        maxItems: 100,
        description: "With any, every CA of a chain needs one that is not out of date",
      }),
    ),
    oneToOneMappings: Type.Optional(Type.Array(oneToOneMapping, { maxItems: 10_000 })),
    manyToOneMappings: Type.Optional(Type.Array(manyToOneMapping, { maxItems: 1000 })),
    directoryMapping: Type.Optional(
      Type.Object({
        issuers: File("CAs whose word counts for names in the directory, PEM"),
        upn: Type.Boolean({ description: "Take the user principal name of the certificate" }),
        suffixes: Type.Array(Text(256), { maxItems: 100, description: "What such names may end with" }),
        altSecurityIdentities: Type.Boolean({ description: "Ask the directory whose certificate it is" }),
        weakForms: Type.Optional(
          Type.Boolean({ description: "Also by names that a CA may give to two people" }),
        ),
      }),
    ),
  }),
);

const directory = Type.Optional(
  Type.Object({
    url: Type.String({ pattern: "^ldaps?://[^/?#@]{1,255}/?$", description: "ldaps://dc.medv.test" }),
    ca: Type.Optional(File("CAs that may vouch for the directory, PEM; default: those of Node")),
    startTls: Type.Optional(Type.Boolean({ description: "ldap:// that turns to TLS first" })),
    allowPlain: Type.Optional(
      Type.Boolean({ description: "ldap:// without TLS: whoever is on the way may invent groups" }),
    ),
    bindDn: Text(1000, "Account that may search"),
    bindPasswordFile: File("Its password is the first line"),
    baseDn: Text(1000, "Where users and groups lie: DC=medv,DC=test"),
    netbiosDomain: NetbiosName,
    cacheSeconds: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 86_400, description: "How long groups are remembered" }),
    ),
  }),
);

/** How people prove who they are, under IIS's names where IIS has the setting. */
export const authenticationSchema = Type.Object({
  anonymous: Type.Object({ enabled: Type.Boolean() }),
  basic,
  windows,
  accountsFile: Type.Optional(File("Local accounts and groups")),
  logon,
  clientCertificates,
  directory,
  lockout: Type.Object({
    threshold: Type.Integer({ minimum: 1, maximum: 1000 }),
    seconds: Type.Integer({ minimum: 1, maximum: 86_400 }),
  }),
});

export type AuthenticationConfig = Static<typeof authenticationSchema>;

/** IIS's defaults, but that a channel binding which is sent must be right. */
export const authenticationDefaults = {
  anonymous: { enabled: false },
  basic: { enabled: true, realm: "MEDV", defaultLogonDomain: "", allowOverHttp: false },
  windows: {
    enabled: false,
    providers: ["Negotiate", "NTLM"],
    authPersistNonNTLM: true,
    authPersistSingleRequest: false,
    extendedProtection: { tokenChecking: "Allow", spns: [] },
    ntlm: { requireMic: false },
  },
  logon: { domain: "none", ntlmAuth: ["ntlm_auth"] },
  lockout: { threshold: 10, seconds: 60 },
} as const;
