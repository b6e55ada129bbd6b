import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BITS_PROTOCOL, BitsConnection, basic } from "../testbed/bits-connection.js";
import { startBitsOrigin } from "../testbed/bits-origin.js";
import { ALICE } from "../testbed/local-accounts.js";
import type { OriginUnderTest } from "../testbed/origin-under-test.js";

/* Names that must become no file: paths that lead elsewhere, and what is special to a file system. */
const START_TIMEOUT_MS = 60_000;
const DIRECTORY = "/MEDVImages/";

let folder: string;
let origin: OriginUnderTest;
let client: BitsConnection;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ckbits-"));
  origin = await startBitsOrigin({ folder }, AbortSignal.timeout(START_TIMEOUT_MS));
}, START_TIMEOUT_MS);

afterAll(async () => {
  await origin?.stop();
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  client = await BitsConnection.open({ url: origin.httpUrl }, basic(ALICE));
});

afterEach(() => client.close());

/** Everything below the folder but logs, which grow. */
const filesBelow = (): readonly string[] =>
  readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => !/(?:^|\/)logs?(?:\/|$)|\.log$|audit/.test(name))
    .toSorted();

const createAt = (path: string) =>
  client.sendPlain({ path, type: "Create-Session", headers: [`BITS-Supported-Protocols: ${BITS_PROTOCOL}`] });

const DEVICES = ["CON", "PRN", "AUX", "NUL", "COM1", "COM9", "LPT1", "LPT9", "CONIN$", "CONOUT$"];

describe("an upload is refused, and nothing is made, where its name", () => {
  it.each([
    ["goes up", "../evil_1.ckm"],
    ["goes up, encoded", "%2e%2e/evil_1.ckm"],
    ["goes up, half encoded", ".%2e/evil_1.ckm"],
    ["goes up by an encoded slash", "..%2fevil_1.ckm"],
    ["goes up by a backslash", "..\\evil_1.ckm"],
    ["goes up by an encoded backslash", "..%5cevil_1.ckm"],
    ["goes up, encoded twice", "%252e%252e%252fevil_1.ckm"],
    ["goes up in overlong UTF-8", "%c0%ae%c0%ae%c0%afevil_1.ckm"],
    ["goes up in overlong UTF-8 of three bytes", "%e0%80%ae%e0%80%ae/evil_1.ckm"],
    ["goes up behind a parameter", "..;/evil_1.ckm"],
    ["goes up in the middle", "a/../../evil_1.ckm"],
    ["has a folder", "sub/evil_1.ckm"],
    ["has an encoded folder", "sub%2fevil_1.ckm"],
    ["has two slashes", "/evil_1.ckm"],
    ["is absolute", "%2fetc%2fevil_1.ckm"],
    ["names a drive", "C:%5cevil_1.ckm"],
    ["names a share", "%5c%5chost%5cshare%5cevil_1.ckm"],
    ["names a stream", "evil_1.ckm::$DATA"],
    ["names a stream with an extension", "evil_1.ckm:s.ckm"],
    ["has an encoded colon", "evil%3as_1.ckm"],
    ["has a NUL at its end", "evil_1.ckm%00"],
    ["has a NUL before another extension", "evil_1.exe%00.ckm"],
    ["has a line end", "evil%0d%0a_1.ckm"],
    ["has a control character", "evil%01_1.ckm"],
    ["has DEL", "evil%7f_1.ckm"],
    ["has a character of C1", "evil%c2%85_1.ckm"],
    ["has <", "evil%3c_1.ckm"],
    ["has >", "evil%3e_1.ckm"],
    ["has a quotation mark", "evil%22_1.ckm"],
    ["has |", "evil%7c_1.ckm"],
    ["has ?", "evil%3f_1.ckm"],
    ["has *", "evil%2a_1.ckm"],
    ["begins with a dot", ".evil_1.ckm"],
    ["begins with a dot and is nothing else", ".ckm"],
    ["ends with a dot", "evil_1.ckm."],
    ["ends with an encoded dot", "evil_1.ckm%2e"],
    ["ends with a blank", "evil_1.ckm%20"],
    ["has a bad escape", "evil%zz_1.ckm"],
    ["has half an escape", "evil_1.ckm%"],
    ["is no UTF-8", "evil%ff_1.ckm"],
    ["is half a surrogate pair", "evil%ed%a0%80_1.ckm"],
    ["has another extension", "evil_1.exe"],
    ["has no extension", "evil_1"],
    ["is a page", "evil_1.aspx"],
    ["is an index of nothing", "evil_1.index"],
    ["has an extension behind", "evil_1.ckm.exe"],
    ["is a file of ours that is no image", "evil_1.ckm.partial"],
    ["is our index of a foreign pack", "evil_1.ckm.frames.index"],
    ["is an order about an image", "evil.control.index"],
    ["is a configuration", "web.config"],
    ["is an extension alone", ".ckm.index"],
    ["is too long for a file system", `${"e".repeat(300)}_1.ckm`],
    ["is too long with what publishing appends", `${"e".repeat(249)}_1.ckm`],
    ["has more letters than bytes fit", `${"%c3%a9".repeat(130)}_1.ckm`],
    ["has version 0", "evil_0.ckm"],
    ["has a version of 40 digits", `evil_${"9".repeat(40)}.ckm`],
    ...DEVICES.flatMap((device) => [
      [`is the device ${device}`, `${device}.ckm`],
      [`is the device ${device} with an extension`, `${device.toLowerCase()}.evil_1.ckm`],
    ]),
    ["is a device with a blank", "CON%20.ckm"],
  ])("%s: %s", async (_, name) => {
    const before = filesBelow();
    const answer = await createAt(DIRECTORY + name);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(502);
    expect(answer.status).not.toBe(500);
    expect(answer.headers.has("bits-session-id")).toBe(false);
    expect(filesBelow()).toEqual(before);
  });

  it.each(["../evil_1.ckm", "evil_1.exe", "..%2fevil_1.ckm"])(
    "stands in a target in absolute form: %s",
    async (name) => {
      const before = filesBelow();
      const answer = await createAt(`${origin.httpUrl}${DIRECTORY}${name}`);
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.status).not.toBe(500);
      expect(filesBelow()).toEqual(before);
    },
  );

  it.each(["*", "", "evil_1.ckm", "http://", "//evil/MEDVImages/a_1.ckm", "\\MEDVImages\\a_1.ckm"])(
    "stands in a target that is none: %j",
    async (target) => {
      const answer = await createAt(target);
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.headers.has("bits-session-id")).toBe(false);
    },
  );
});

describe("an upload is taken where its name", () => {
  it.each([
    ["is a version's pack", "Good_1.ckm"],
    ["is a version's index", "Good_1.ckm.index"],
    ["is an image's alias", "Good.ckm"],
    ["is the index of an image's alias", "Good.ckm.index"],
    ["has another case", "GOOD_2.CKM"],
    ["has dots and dashes", "Win-11.24H2_1.ckm"],
    ["has escapes that need not be", "%47ood_3.ckm"],
    ["has a device in the middle", "my-CON_1.ckm"],
  ])("%s: %s", async (_, name) => {
    const answer = await createAt(DIRECTORY + name);
    expect(answer.status).toBe(200);
    const [sessionId = ""] = answer.headers.get("bits-session-id") ?? [];
    expect((await client.cancel(DIRECTORY + name, sessionId)).status).toBe(200);
  });

  it("stands in a directory written in another case", async () => {
    const id = await client.create("/medvimages/Good_4.ckm");
    expect((await client.cancel("/medvimages/Good_4.ckm", id)).status).toBe(200);
  });
});
