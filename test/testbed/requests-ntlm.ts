import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PYTHON } from "./foreign.js";
import { mustRun } from "./run-program.js";

const SCRIPT = fileURLToPath(new URL("requests_ntlm_get.py", import.meta.url));
/** MD4 is in OpenSSL's legacy provider only, and Python's NTLM needs it. */
const OPENSSL_CONF = `openssl_conf = init
[init]
providers = providers
[providers]
default = on
legacy = on
[on]
activate = 1
`;

interface RequestsNtlmOptions {
  readonly url: string;
  /** `MEDV\alice`, `alice`. */
  readonly user: string;
  readonly password: string;
  /** CA certificate for https, a PEM file. */
  readonly ca?: string;
  /** Over https the certificate's hash goes along. */
  readonly sendCbt: boolean;
  readonly requests?: number;
}

/** Statuses of GETs by Python's requests-ntlm, in one session. */
export async function requestsNtlm(options: RequestsNtlmOptions): Promise<readonly unknown[]> {
  const folder = mkdtempSync(join(tmpdir(), "ckpy-"));
  try {
    const openssl = join(folder, "openssl.cnf");
    writeFileSync(openssl, OPENSSL_CONF);
    const { url, user, password, ca = "-", sendCbt, requests = 1 } = options;
    const args = [SCRIPT, url, user, password, ca, sendCbt ? "CBT" : "PLAIN", String(requests)];
    const out = await mustRun(PYTHON, args, { env: { OPENSSL_CONF: openssl } });
    const statuses: unknown = JSON.parse(out);
    if (!Array.isArray(statuses)) throw new Error(`no list: ${out}`);
    return statuses;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
