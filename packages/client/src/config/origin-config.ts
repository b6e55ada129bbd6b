import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AppError, describeError } from "@ckmesh/core";
import type { OriginHttpOptions } from "@ckmesh/net";
import { Type } from "@ckmesh/runtime";
import type { Static } from "typebox";

const file = (description: string) => Type.String({ description, isPath: true });
const text = (description: string) => Type.String({ description });
const flag = (description: string) => Type.Boolean({ description });

/** Settings of whatever talks to an origin: how it is reached, and who one is there. */
export const originConfigProperties = {
  user: Type.Optional(text("User name at the origin: user, DOMAIN\\user or user@domain")),
  passwordFile: Type.Optional(file("File whose first line is the password")),
  negotiate: flag("Log on with Negotiate: a Kerberos ticket, else NTLM with user and password"),
  ntlm: flag("Log on with NTLM only; without either a password goes as Basic, over https only"),
  cert: Type.Optional(file("Client certificate with its chain, PEM")),
  key: Type.Optional(file("Its private key, PEM, not encrypted")),
  ca: Type.Optional(file("PEM certificates to trust in place of the system's")),
  allowBasicOverHttp: flag("Send the password over plain http: trusted networks only"),
  proxy: Type.Optional(text("Proxy on the way to the origin: http://host:port")),
  proxyCredentialsFile: Type.Optional(file("File whose first line is user:password for the proxy")),
  proxyBypass: Type.Array(Type.String(), {
    description: "Hosts, .domains and networks (CIDR) that are reached without the proxy",
  }),
};

/** Those settings alone: for commands that talk to an origin and are no client. */
export const originConfigSchema = Type.Object(originConfigProperties);
export type OriginConfig = Static<typeof originConfigSchema>;

export const originConfigDefaults = {
  negotiate: false,
  ntlm: false,
  allowBasicOverHttp: false,
  proxyBypass: [],
} satisfies Partial<OriginConfig>;

/** What `OriginHttp` takes of them. */
export type OriginAccess = Pick<
  OriginHttpOptions,
  "credentials" | "negotiate" | "ntlm" | "allowBasicOverHttp" | "certificate" | "ca" | "proxy"
>;

/**
 * Reads the files that the settings name.
 * @throws {AppError} ERR_CONFIG_INVALID naming the key
 */
export async function readOriginAccess(config: OriginConfig): Promise<OriginAccess> {
  const { negotiate, ntlm, allowBasicOverHttp, ca, proxy, proxyBypass, proxyCredentialsFile } = config;
  const credentials = await readCredentials(config);
  const certificate = await readCertificate(config);
  if (proxy === undefined && (proxyCredentialsFile !== undefined || proxyBypass.length > 0))
    throw invalid(
      "proxy",
      "proxyCredentialsFile and proxyBypass say something of a proxy, and there is none",
    );
  return {
    negotiate,
    ntlm,
    allowBasicOverHttp,
    ...(credentials !== undefined && { credentials }),
    ...(certificate !== undefined && { certificate }),
    ...(ca !== undefined && { ca: await readText("ca", ca) }),
    ...(proxy !== undefined && {
      proxy: {
        url: proxy,
        bypass: proxyBypass,
        ...(proxyCredentialsFile !== undefined && {
          credentials: firstLine(await readText("proxyCredentialsFile", proxyCredentialsFile)),
        }),
      },
    }),
  };
}

/**
 * The user's name and password; the file is read anew at each call, so that a changed one is noticed.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export async function readCredentials({
  user,
  passwordFile,
}: Pick<OriginConfig, "user" | "passwordFile">): Promise<OriginAccess["credentials"]> {
  if (user === undefined && passwordFile === undefined) return undefined;
  if (user === undefined || passwordFile === undefined)
    throw invalid("user", "user and passwordFile belong together");
  return { user, password: firstLine(await readText("passwordFile", passwordFile)) };
}

async function readCertificate({ cert, key }: OriginConfig): Promise<OriginAccess["certificate"]> {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined) throw invalid("cert", "cert and key belong together");
  const pair = { cert: await readText("cert", cert), key: await readText("key", key) };
  let isPair: boolean;
  try {
    isPair = new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key));
  } catch (cause) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `cert, key: no PEM of a certificate and its key: ${describeError(cause)}`,
      {
        cause,
      },
    );
  }
  if (!isPair) throw invalid("key", `${key} is not the key of the first certificate in ${cert}`);
  return pair;
}

async function readText(key: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new AppError("ERR_CONFIG_INVALID", `${key}: ${path} cannot be read`, { cause });
  }
}

function firstLine(content: string): string {
  return content.split(/\r?\n/, 1)[0] ?? "";
}

function invalid(key: string, problem: string): AppError {
  return new AppError("ERR_CONFIG_INVALID", `${key}: ${problem}`);
}
