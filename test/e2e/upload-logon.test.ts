import { randomFillSync } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MIB } from "@ckmesh/core";
import { packImage } from "@ckmesh/store";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type KeyPair, TestCa } from "../testbed/certificates.js";
import { whyNot } from "../testbed/foreign.js";
import { type KerberosModule, kerberosModule } from "../testbed/kerberos-module.js";
import { ALICE, BOB } from "../testbed/local-accounts.js";
import { startLogonOrigin } from "../testbed/logon-origin.js";
import type { OriginUnderTest } from "../testbed/origin-under-test.js";
import { startKdc, type TicketServer } from "../testbed/testbed.js";
import { type Finished, jsonLines, runCkmesh } from "./run-ckmesh.js";

/*
 * Uploads to the origin command by each way to log on. alice may upload, bob may read.
 */
const reason = whyNot("the logon of uploads", ["kdc", "openssl"]);
const START_TIMEOUT_MS = 90_000;
const TEST_TIMEOUT_MS = 60_000;

describe.skipIf(reason !== undefined)("an upload", () => {
  let folder: string;
  let kdc: TicketServer;
  let kerberos: KerberosModule;
  let ca: TestCa;
  let client: KeyPair;
  let origin: OriginUnderTest;
  let images = 0;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ckupload-"));
    [kdc, kerberos] = await Promise.all([startKdc(), kerberosModule()]);
    ca = await TestCa.create(join(folder, "ca"), "/O=Contoso/CN=Contoso CA");
    client = await ca.issue({ subject: "/O=Contoso/OU=Images/CN=Publisher" });
    for (const { account, password } of [ALICE, BOB])
      writeFileSync(join(folder, `${account}.password`), `${password}\n`, { mode: 0o600 });
    origin = await startLogonOrigin({
      folder,
      kdc,
      kerberos,
      ca,
      clientCertificates: {
        manyToOneMappings: [
          {
            permission: "permit",
            account: "alice",
            rules: [{ field: "subject", sub: "OU", match: "Images" }],
          },
        ],
      },
      rights: { read: ["Everyone"], change: ["alice", "MEDV\\alice"] },
      settings: { bits: { BITSUploadEnabled: true } },
    });
  }, START_TIMEOUT_MS);

  afterAll(async () => {
    await origin?.stop();
    await kdc?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Uploads an image that the origin does not have yet. */
  async function uploadNew(
    url: string,
    flags: readonly string[],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Finished> {
    images += 1;
    const own = join(folder, `new-${images}`);
    mkdirSync(own);
    const name = `Image-${images}`;
    writeFileSync(join(own, "disk"), randomFillSync(new Uint8Array(2 * MIB)));
    await packImage({ diskPath: join(own, "disk"), name, outDir: own, level: 1 });
    const to = ["--to", `${url}/MEDVImages`, ...(url.startsWith("https:") ? ["--ca", ca.cert] : [])];
    const kerberosEnv = kerberos.type === "there" ? kerberos.env : {};
    return runCkmesh(["upload", join(own, `${name}_1.ckm.index`), ...to, ...flags, "--json"], {
      env: { ...kerberosEnv, KRB5CCNAME: "FILE:/nonexistent", ...env },
    });
  }

  const user = ({ account }: { readonly account: string }): readonly string[] => [
    "--user",
    account,
    "--password-file",
    join(folder, `${account}.password`),
  ];

  it.each([
    ["Basic over TLS", "https", []],
    ["NTLM", "http", ["--ntlm"]],
    ["NTLM over TLS", "https", ["--ntlm"]],
    ["NTLM inside Negotiate, having no ticket", "http", ["--negotiate"]],
    ["NTLM inside Negotiate over TLS", "https", ["--negotiate"]],
  ] as const)(
    "logs on by %s, and is refused without the right",
    async (_, scheme, flags) => {
      const url = scheme === "https" ? origin.httpsUrl : origin.httpUrl;
      const runs = await Promise.all(
        [ALICE, BOB].map(async (who) => uploadNew(url, [...flags, ...user(who)])),
      );
      expect(runs.map(outcome)).toEqual([DONE, [3, "ERR_AUTH_FORBIDDEN"]]);
    },
    TEST_TIMEOUT_MS,
  );

  it.for(["http", "https"])(
    "logs on by Kerberos over %s",
    { timeout: TEST_TIMEOUT_MS },
    async (scheme, { skip }) => {
      if (kerberos.type === "missing") return skip(kerberos.reason);
      const url = scheme === "https" ? origin.httpsUrl : origin.httpUrl;
      const tickets = [await kdc.ticket("alice", ALICE.password), await kdc.ticket("bob", BOB.password)];
      const runs = await Promise.all(tickets.map(async (ticket) => uploadNew(url, ["--negotiate"], ticket)));
      expect(runs.map(outcome)).toEqual([DONE, [3, "ERR_AUTH_FORBIDDEN"]]);
    },
  );

  it(
    "logs on by a client certificate",
    async () => {
      const run = await uploadNew(origin.certUrl, ["--cert", client.cert, "--key", client.key]);
      expect(outcome(run)).toEqual(DONE);
    },
    TEST_TIMEOUT_MS,
  );

  it(
    "without credentials is refused, also where everybody may read",
    async () => {
      expect(outcome(await uploadNew(origin.httpUrl, []))).toEqual([3, "ERR_AUTH_REQUIRED"]);
    },
    TEST_TIMEOUT_MS,
  );
});

const DONE = [0, true];

function outcome(run: Finished): readonly unknown[] {
  const end = jsonLines(run).at(-1) ?? {};
  return [run.exitCode, end["published"] ?? end["code"]];
}
