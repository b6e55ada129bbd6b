import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startForeground } from "./foreground-server.js";
import { freePort } from "./testbed.js";

export interface SharedProxy {
  /** `http://localhost:PORT`. */
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * An nginx that keeps one connection to the origin and sends everybody's requests over it: the reverse proxy that
 * breaks whatever is bound to a connection.
 * @param headers what it adds: `X-Forwarded-For $remote_addr`, `Via "1.1 nginx"`
 */
export async function startSharedProxy(originUrl: string, headers: readonly string[]): Promise<SharedProxy> {
  const folder = mkdtempSync(join(tmpdir(), "cknginx-"));
  const port = await freePort();
  const config = join(folder, "nginx.conf");
  writeFileSync(config, nginxConfig(folder, port, new URL(originUrl).port, headers));
  const end = await startForeground(["nginx", "-c", config, "-e", join(folder, "error.log")], port);
  return {
    url: `http://localhost:${port}`,
    async stop() {
      await end();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function nginxConfig(folder: string, port: number, originPort: string, headers: readonly string[]): string {
  const added = headers.map((header) => `proxy_set_header ${header};`).join(" ");
  return `daemon off; master_process off; pid ${folder}/pid;
events { worker_connections 100; }
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
  large_client_header_buffers 4 64k;
  upstream origin { server 127.0.0.1:${originPort}; keepalive 1; }
  server {
    listen 127.0.0.1:${port};
    location / { proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; ${added} }
  }
}
`;
}
