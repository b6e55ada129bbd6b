import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KeyPair } from "./certificates.js";
import { startForeground } from "./foreground-server.js";
import { APACHE, APACHE_MODULES } from "./foreign.js";
import { freePort } from "./testbed.js";

export interface Apache {
  /** Of the folder: `http://localhost:PORT/MEDVImages`. */
  readonly url: string;
  /** A line for each request so far: user, status, Range, how many came before it on its connection. */
  accessLog(): string;
  stop(): Promise<void>;
}

interface ApacheOptions {
  readonly root: string;
  /** Lines of the folder's `<Directory>` block. */
  readonly protection: readonly string[];
  readonly modules: readonly string[];
  readonly tls?: KeyPair;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts Debian's Apache on a free port, in the foreground, over one folder. */
export async function startApache(options: ApacheOptions): Promise<Apache> {
  const folder = mkdtempSync(join(tmpdir(), "ckapache-"));
  chmodSync(folder, 0o755);
  const port = await freePort();
  const config = join(folder, "httpd.conf");
  const accessLog = join(folder, "access.log");
  writeFileSync(config, apacheConfig(folder, port, options));
  const end = await startForeground([APACHE, "-f", config, "-DFOREGROUND"], port, options.env);
  const scheme = options.tls === undefined ? "http" : "https";
  return {
    url: `${scheme}://localhost:${port}/MEDVImages`,
    accessLog: () => readFileSync(accessLog, "utf8"),
    async stop() {
      await end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function apacheConfig(
  folder: string,
  port: number,
  { root, protection, modules, tls }: ApacheOptions,
): string {
  const all = ["mpm_event", "authn_core", "authz_core", "authz_user", "alias", "mime", ...modules];
  const tlsModules = tls === undefined ? [] : ["ssl"];
  const account = process.getuid?.() === 0 ? ["User www-data", "Group www-data"] : [];
  return [
    `ServerRoot ${folder}`,
    `DefaultRuntimeDir ${folder}`,
    `PidFile ${folder}/pid`,
    "ServerName localhost",
    "Mutex pthread",
    `Listen 127.0.0.1:${port}`,
    ...[...all, ...tlsModules].map((name) => `LoadModule ${name}_module ${APACHE_MODULES}/mod_${name}.so`),
    ...account,
    `ErrorLog ${folder}/error.log`,
    `LogFormat "%u %>s %{Range}i %k" short`,
    `CustomLog ${folder}/access.log short`,
    "TypesConfig /dev/null",
    "AddType application/octet-stream .ckm .index",
    ...(tls === undefined
      ? []
      : ["SSLEngine on", `SSLCertificateFile ${tls.cert}`, `SSLCertificateKeyFile ${tls.key}`]),
    `Alias /MEDVImages ${root}`,
    `<Directory ${root}>`,
    ...protection,
    "</Directory>",
    "",
  ].join("\n");
}
