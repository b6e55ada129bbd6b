import { parseListen } from "@ckmesh/runtime";
import type { CertificateGate } from "../access/certificate-gate.js";
import type { OriginConfig } from "../config/config-schema.js";
import { type Listener, type ListenerParts, openListener } from "./listener.js";
import { readTlsFiles } from "./tls-options.js";

const DEFAULT_LISTEN = "0.0.0.0:8080";

/**
 * Opens the listeners that the configuration names.
 * @throws {AppError} ERR_CONFIG_INVALID, ERR_ADDRESS_IN_USE; then none is open
 */
export async function openListeners(
  config: OriginConfig,
  parts: ListenerParts,
  certificates: CertificateGate | undefined,
): Promise<readonly Listener[]> {
  const { tlsListen, certListen, tlsCert, tlsKey } = config;
  const isTlsOnly = tlsListen !== undefined || certListen !== undefined;
  const listen = config.listen ?? (isTlsOnly ? undefined : DEFAULT_LISTEN);
  const opened: Listener[] = [];
  try {
    if (listen !== undefined) opened.push(await openListener(parts, parseListen(listen), undefined));
    if (tlsCert !== undefined && tlsKey !== undefined && isTlsOnly) {
      const files = readTlsFiles(tlsCert, tlsKey);
      if (tlsListen !== undefined) opened.push(await openListener(parts, parseListen(tlsListen), { files }));
      if (certListen !== undefined) {
        if (certificates === undefined) throw new Error("unreachable: certListen without clientCertificates");
        opened.push(await openListener(parts, parseListen(certListen), { files, clients: certificates }));
      }
    }
  } catch (err) {
    await Promise.all(opened.map((listener) => listener.close(0)));
    throw err;
  }
  return opened;
}
