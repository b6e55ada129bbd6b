import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@ckmesh/core";
import { hasTool } from "@ckmesh/testkit";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { OriginHttp } from "../src/origin/origin-http.js";
import { fetchPart } from "./origin-fixtures.js";
import { realClock } from "./test-clock.js";

const isInstalled = hasTool("nginx", ["-v"], "OriginHttp against a stock nginx");

describe.skipIf(!isInstalled)("OriginHttp against a stock nginx", () => {
  const content = randomBytes(3_000_000);
  let folder: string;
  let nginx: ChildProcess;
  let origin: OriginHttp;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "ckmesh-nginx-"));
    await chmod(folder, 0o755);
    await mkdir(join(folder, "MEDVImages"));
    await writeFile(join(folder, "MEDVImages", "a.ckm"), content);
    const port = await freePort();
    await writeFile(join(folder, "nginx.conf"), configuration(folder, port));
    nginx = spawn(
      "nginx",
      ["-c", join(folder, "nginx.conf"), "-p", folder, "-e", join(folder, "error.log")],
      {
        stdio: "ignore",
      },
    );
    origin = new OriginHttp({
      baseUrl: `http://127.0.0.1:${port}/MEDVImages`,
      logger: silentLogger,
      clock: realClock,
    });
    await vi.waitFor(() => origin.fetchHead("a.ckm"), { timeout: 10_000 });
  });

  afterAll(async () => {
    await origin.close();
    const exited = new Promise<void>((resolve) => {
      nginx.once("exit", () => resolve());
    });
    nginx.kill("SIGTERM");
    await exited;
    await rm(folder, { recursive: true, force: true });
  });

  it("fetches head and ranges, and nothing when unchanged", async () => {
    const head = await origin.fetchHead("a.ckm");
    expect(head).toMatchObject({
      status: "found",
      total: content.length,
      bytes: content.subarray(0, 4096),
    });
    if (head.status !== "found" || head.etag === undefined) throw new Error("unreachable: nginx sends a tag");
    const { bytes, err } = await fetchPart(origin, 1_000_000, 2_999_999, { etag: head.etag });
    expect(err).toBeUndefined();
    expect(bytes.equals(content.subarray(1_000_000))).toBe(true);
    expect(await origin.fetchHead("a.ckm", { ifNoneMatch: head.etag })).toEqual({ status: "unchanged" });
  });

  it("tells a missing file, a short one and a changed one apart", async () => {
    await expect(origin.fetchHead("b.ckm")).rejects.toMatchObject({ code: "ERR_IMAGE_NOT_FOUND" });
    expect((await fetchPart(origin, 2_999_000, 3_000_000)).err?.code).toBe("ERR_ORIGIN_INVALID");
    expect((await fetchPart(origin, 3_000_000, 3_000_001)).err?.code).toBe("ERR_ORIGIN_INVALID");
    const head = await origin.fetchHead("a.ckm");
    if (head.status !== "found" || head.etag === undefined) throw new Error("unreachable: nginx sends a tag");
    const next = join(folder, "MEDVImages", "next");
    await writeFile(next, randomBytes(3_000_001));
    await rename(next, join(folder, "MEDVImages", "a.ckm"));
    expect((await fetchPart(origin, 0, 9, { etag: head.etag })).err?.code).toBe("ERR_ORIGIN_CHANGED");
  });
});

function configuration(folder: string, port: number): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join("\n");
  return `daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
events {}
http { access_log off; default_type application/octet-stream; ${temporary}
  server { listen 127.0.0.1:${port}; root ${folder}; } }
`;
}

/** nginx cannot choose a port itself. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  return typeof address === "object" ? (address?.port ?? 0) : 0;
}
