import { createHash } from "node:crypto";
import { derChildren, readDer } from "./der/der.js";
import { md5 } from "./ntlm/ntlm-v2.js";

/** RFC 5929 §4. */
const PREFIX = new TextEncoder().encode("tls-server-end-point:");
/** Addresses of initiator and acceptor, all empty ([MS-NLMP] 2.2.2.1, gss_channel_bindings_struct). */
const ADDRESS_BYTES = 16;

/**
 * What ties a logon to the TLS server it was meant for, as AV pair 10 carries it: MD5 of the binding
 * structure around the hash of the server's certificate, 16 bytes. Both sides compute it.
 * @param certDer the server's certificate
 * @param signatureHash the hash of the certificate's own signature, as in `sha384`; read from it when absent
 */
export function tlsServerEndPoint(certDer: Uint8Array, signatureHash = signatureHashOf(certDer)): Uint8Array {
  // RFC 5929 §4.1: SHA-256 instead of MD5 and SHA-1, and where the signature has no hash of its own.
  const hash = /^sha(?:224|256|384|512)$/.test(signatureHash) ? signatureHash : "sha256";
  const data = Buffer.concat([PREFIX, createHash(hash).update(certDer).digest()]);
  const head = Buffer.alloc(ADDRESS_BYTES + 4);
  head.writeUInt32LE(data.byteLength, ADDRESS_BYTES);
  return md5(head, data);
}

/** Hashes of signature algorithms (RFC 4055, RFC 5758) and, for RSA-PSS, of hash algorithms; DER of the OID. */
const HASH_BY_OID: ReadonlyMap<string, string> = new Map([
  ["2a864886f70d01010b", "sha256"],
  ["2a864886f70d01010c", "sha384"],
  ["2a864886f70d01010d", "sha512"],
  ["2a864886f70d01010e", "sha224"],
  ["2a8648ce3d040301", "sha224"],
  ["2a8648ce3d040302", "sha256"],
  ["2a8648ce3d040303", "sha384"],
  ["2a8648ce3d040304", "sha512"],
  ["608648016503040201", "sha256"],
  ["608648016503040202", "sha384"],
  ["608648016503040203", "sha512"],
  ["608648016503040204", "sha224"],
]);
const RSA_PSS = "2a864886f70d01010a";

/** Hash of a certificate's signature; empty when it is none of the SHA-2 family (RFC 5280 §4.1.1.2). */
function signatureHashOf(certDer: Uint8Array): string {
  const algorithm = childrenOf(childrenOf(certDer)?.[1]?.raw);
  const oid = hex(algorithm?.[0]?.content);
  if (oid !== RSA_PSS) return HASH_BY_OID.get(oid) ?? "";
  // RSASSA-PSS-params: [0] is the hash algorithm, SHA-1 when absent (RFC 4055 §3.1).
  const hash = childrenOf(algorithm?.[1]?.raw)?.find((child) => child.tag === 0xa0);
  return HASH_BY_OID.get(hex(childrenOf(hash?.content)?.[0]?.content)) ?? "";
}

function childrenOf(bytes: Uint8Array | undefined) {
  const element = bytes === undefined ? undefined : readDer(bytes);
  return element === undefined ? undefined : derChildren(element.content);
}

function hex(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString("hex");
}
