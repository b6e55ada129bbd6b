import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { basic } from "./bits-connection.js";
import { ALICE, BOB, CAROL, writeAccounts } from "./local-accounts.js";
import type { LocalUser } from "./ntlm-handshake.js";
import { OriginUnderTest } from "./origin-under-test.js";
import { RawConnection } from "./raw-connection.js";

/** Who may upload. */
const UPLOADERS: readonly LocalUser[] = [ALICE, CAROL];
/** Who may read and not upload. */
export const READER: LocalUser = BOB;

interface BitsOriginOptions {
  readonly folder: string;
  /** Of the `bits` block, on top of uploads switched on. */
  readonly bits?: Readonly<Record<string, unknown>>;
  /** Further settings of the origin. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Of the block `authentication`. */
  readonly authentication?: Readonly<Record<string, unknown>>;
  readonly port?: number;
}

/** An origin over http that takes uploads of alice and carol by Basic and NTLM; bob may read. */
export async function startBitsOrigin(
  options: BitsOriginOptions,
  signal: AbortSignal,
): Promise<OriginUnderTest> {
  const { folder, bits, settings, authentication, port } = options;
  const isNew = !existsSync(join(folder, "accounts.yaml"));
  return OriginUnderTest.start(
    {
      folder,
      authentication: {
        accountsFile: isNew ? await writeAccounts(folder) : join(folder, "accounts.yaml"),
        basic: { enabled: true, allowOverHttp: true },
        windows: { enabled: true, netbiosDomain: "MEDV" },
        ...authentication,
      },
      rights: { read: ["Everyone"], change: UPLOADERS.map(({ account }) => account) },
      settings: { bits: { BITSUploadEnabled: true, ...bits }, ...settings },
      ...(port === undefined ? {} : { port }),
    },
    signal,
  );
}

/** Files and folders below the default staging folder; none when there is no such folder. */
export function stagedFiles(folder: string): readonly string[] {
  const staging = join(folder, "state", "uploads");
  return existsSync(staging) ? readdirSync(staging, { recursive: true }).map(String) : [];
}

/** Those of them that hold bytes of uploads, not what the origin remembers of them. */
export function stagedData(folder: string): readonly string[] {
  const staging = join(folder, "state", "uploads");
  return stagedFiles(folder).filter((name) => {
    const facts = statSync(join(staging, name), { throwIfNoEntry: false });
    return facts?.isFile() === true && facts.size > 0 && !name.endsWith(".json");
  });
}

/** Names in the folder of images, in order. */
export function imageFiles(folder: string): readonly string[] {
  return readdirSync(join(folder, "images")).toSorted();
}

/** Longer than any check of a small pair takes; a test that waits longer has failed. */
const PUBLISH_TIMEOUT_MS = 30_000;
const POLL_MS = 20;

/**
 * Waits until a version is served to readers.
 * @throws when it is not in 30 s
 */
export async function untilPublished(
  origin: OriginUnderTest,
  name: string,
  version: number,
  signal: AbortSignal,
): Promise<void> {
  const connection = await RawConnection.open({ url: origin.httpUrl });
  try {
    const path = `/MEDVImages/${name}_${version}.ckm.index`;
    const deadline = performance.now() + PUBLISH_TIMEOUT_MS;
    for (;;) {
      // A reader: to its uploader a file is there before it is published.
      const { status } = await connection.get(path, [basic(READER), "Range: bytes=0-9"]); // oxlint-disable-line no-await-in-loop -- until it is there
      if (status === 206) return;
      if (performance.now() > deadline)
        throw new Error(`${path} is not published: ${origin.log().slice(-4000)}`);
      await delay(POLL_MS, undefined, { signal }); // oxlint-disable-line no-await-in-loop -- same
    }
  } finally {
    connection.close();
  }
}
