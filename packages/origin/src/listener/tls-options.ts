import { readFileSync, statSync } from "node:fs";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { AppError, describeError } from "@ckmesh/core";

/** Forward secrecy and authenticated encryption only; AES-128 first, which costs least. */
const CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

export const TLS_SETTINGS = {
  minVersion: "TLSv1.2",
  ciphers: CIPHERS,
  honorCipherOrder: true,
  handshakeTimeout: 10_000,
  ALPNProtocols: ["http/1.1"],
} satisfies SecureContextOptions & Record<string, unknown>;

/** Certificate and key of the TLS listener, with a stamp that tells a changed file. */
export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly stamp: string;
}

/** @throws {AppError} ERR_CONFIG_INVALID naming the file, or both where they do not belong together */
export function readTlsFiles(certFile: string, keyFile: string): TlsFiles {
  const files = {
    cert: readFile("tlsCert", certFile),
    key: readFile("tlsKey", keyFile),
    stamp: tlsStamp(certFile, keyFile),
  };
  try {
    createSecureContext({ cert: files.cert, key: files.key });
  } catch (cause) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `tlsCert and tlsKey: ${certFile} and ${keyFile} are no matching pair in PEM: ${describeError(cause)}`,
      { cause },
    );
  }
  return files;
}

/** Changes with either file; empty while one of them is missing. */
export function tlsStamp(certFile: string, keyFile: string): string {
  try {
    return [certFile, keyFile]
      .map((file) => statSync(file))
      .map((s) => `${s.mtimeMs}:${s.size}:${s.ino}`)
      .join("/");
  } catch {
    return ""; // Being replaced: looked at again later.
  }
}

function readFile(setting: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new AppError("ERR_CONFIG_INVALID", `${setting}: cannot read ${file}: ${describeError(cause)}`, {
      cause,
    });
  }
}
