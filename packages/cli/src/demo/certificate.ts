import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { generate } from "selfsigned";

const DAY_MS = 86_400_000;

/** Paths of a throw-away certificate and its key, both PEM. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/** A certificate for loopback that lasts a day: for the demonstration and tests only. */
export async function writeLoopbackCertificate(folder: string): Promise<CertificateFiles> {
  const now = Date.now();
  const made = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    curve: "P-256",
    algorithm: "sha256",
    notBeforeDate: new Date(now - DAY_MS),
    notAfterDate: new Date(now + DAY_MS),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      {
        name: "subjectAltName",
        altNames: [
          { type: 2, value: "localhost" },
          { type: 7, ip: "127.0.0.1" },
        ],
      },
    ],
  });
  const files = { cert: join(folder, "loopback.pem"), key: join(folder, "loopback.key") };
  await writeFile(files.cert, made.cert, { flag: "wx" });
  await writeFile(files.key, made.private, { flag: "wx", mode: 0o600 });
  return files;
}
