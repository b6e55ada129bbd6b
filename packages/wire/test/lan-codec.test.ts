import { isAppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeLanAnnouncement,
  encodeLanAnnouncement,
  LAN_ID_BYTES,
  MAX_SWARMS_PER_DATAGRAM,
} from "../src/index.js";

const id = fc.uint8Array({ minLength: LAN_ID_BYTES, maxLength: LAN_ID_BYTES });
const announcement = fc.record({
  port: fc.integer({ min: 1, max: 65_535 }),
  cookie: fc.uint8Array({ minLength: 8, maxLength: 8 }),
  isAnswer: fc.boolean(),
  swarms: fc.array(id, { minLength: 1, maxLength: MAX_SWARMS_PER_DATAGRAM }),
});

const text = (lines: readonly string[]): Uint8Array => Buffer.from(lines.join("\r\n"), "latin1");
const START = "CK-SEARCH * HTTP/1.1";
const SWARM = `Swarm: ${"ab".repeat(LAN_ID_BYTES)}`;
const COOKIE = `Cookie: ${"01".repeat(8)}`;

describe("LAN announcements", () => {
  it("come back as they were encoded, below 1,280 bytes", () => {
    fc.assert(
      fc.property(announcement, (original) => {
        const bytes = encodeLanAnnouncement(original);
        const decoded = decodeLanAnnouncement(bytes);
        expect(bytes.byteLength).toBeLessThan(1280);
        expect(encodeLanAnnouncement(decoded)).toEqual(bytes);
        expect(decoded).toMatchObject({ port: original.port, isAnswer: original.isAnswer });
      }),
    );
  });

  it("show only the first 16 bytes of a public id", () => {
    const swarm = Uint8Array.from({ length: 32 }, (_, i) => i + 100);
    const bytes = encodeLanAnnouncement({
      port: 1,
      cookie: new Uint8Array(8),
      isAnswer: false,
      swarms: [swarm],
    });
    expect(Buffer.from(bytes).toString("latin1")).not.toContain(Buffer.from(swarm).toString("hex"));
    expect(decodeLanAnnouncement(bytes).swarms).toEqual(
      [Buffer.from(swarm.subarray(0, LAN_ID_BYTES))].map((b) => new Uint8Array(b)),
    );
  });

  it.each([
    ["the datagram that ends bittorrent-lsd", text(["BT-SEARCH * HTTP/1.1"])],
    ["the same as ours", text([START])],
    ["no line ends", text([`${START} Port: 1`])],
    ["no port", text([START, COOKIE, SWARM, "", ""])],
    ["port 0", text([START, "Port: 0", COOKIE, SWARM, "", ""])],
    ["port 65536", text([START, "Port: 65536", COOKIE, SWARM, "", ""])],
    ["no cookie", text([START, "Port: 1", SWARM, "", ""])],
    ["no swarm", text([START, "Port: 1", COOKIE, "", ""])],
    ["a short swarm", text([START, "Port: 1", COOKIE, "Swarm: ab", "", ""])],
    ["25 swarms", text([START, "Port: 1", COOKIE, ...Array.from({ length: 25 }, () => SWARM), "", ""])],
    ["1,401 bytes", text([START, "x".repeat(1375), "", ""])],
    ["nothing", new Uint8Array(0)],
  ])("are refused with %s", (_, bytes) => {
    expect(() => decodeLanAnnouncement(bytes)).toThrow(
      expect.objectContaining({ code: "ERR_WIRE_MESSAGE_INVALID" }),
    );
  });

  it("never throw anything but an AppError, whatever arrives", () => {
    fc.assert(
      fc.property(announcement, fc.uint8Array({ maxLength: 40 }), fc.nat(), (original, noise, at) => {
        const bytes = Buffer.from(encodeLanAnnouncement(original));
        bytes.set(noise.subarray(0, bytes.length), at % Math.max(1, bytes.length - noise.length));
        expect(isRefusedCleanly(bytes)).toBe(true);
        expect(isRefusedCleanly(noise)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

function isRefusedCleanly(bytes: Uint8Array): boolean {
  try {
    decodeLanAnnouncement(bytes);
    return true;
  } catch (err) {
    return isAppError(err, "ERR_WIRE_MESSAGE_INVALID");
  }
}
