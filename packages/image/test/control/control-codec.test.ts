import { generateKeyPairSync } from "node:crypto";
import { encodeMsgpack } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type ControlRecord,
  checkControlSuccession,
  checkControlTrust,
  controlFileName,
  decodeControl,
  emptyControl,
  encodeControl,
  MAX_CONTROL_BYTES,
  nextControlSerial,
  parseControlFileName,
  publicKeyBytes,
  type SignedControl,
} from "../../src/index.js";
import { outcome } from "../outcome.js";

const code = (name: string): unknown => expect.objectContaining({ code: name });
const [alice, bob] = [generateKeyPairSync("ed25519").privateKey, generateKeyPairSync("ed25519").privateKey];

const RECORD: ControlRecord = {
  name: "Win11",
  serial: 7,
  createdAt: 1_700_000_000,
  requires: [],
  withdrawn: [{ version: 3 }, { version: 5, reason: "does not boot", backTo: 4 }],
  rollouts: [
    {
      version: 6,
      since: 7,
      rings: [{ percent: 0.5, groups: ["pilot"] }, { percent: 25 }],
      approved: 1,
      isHeld: false,
      failureLimit: { percent: 5, minReports: 20 },
      prefetchAt: 1_700_000_100,
      activateAt: 1_700_003_600,
    },
  ],
};

/** A file with any content in the place of the record, with correct lengths. */
function rawControl(record: unknown): Uint8Array {
  const body = encodeMsgpack(record);
  const prefix = Buffer.alloc(16);
  prefix.write("CKMC", "latin1");
  prefix.writeUInt16LE(1, 4);
  prefix.writeUInt32LE(body.length, 8);
  return Buffer.concat([prefix, body]);
}

/** With a key that this version does not know, to fill it. */
function filled(length: number): Uint8Array {
  return rawControl({ ...RECORD, later: "x".repeat(length) });
}

function unsignedOf(change: Partial<ControlRecord>): SignedControl {
  return decodeControl(encodeControl({ ...RECORD, ...change }, []));
}

describe("decodeControl", () => {
  it("gives back what encodeControl wrote, and the same bytes again", () => {
    const bytes = encodeControl(RECORD, [alice]);
    const { record, signatures } = decodeControl(bytes);
    expect(record).toEqual(RECORD);
    expect(signatures).toHaveLength(1);
    expect(encodeControl(record, [alice])).toEqual(bytes);
  });

  it("does not change with the buffer that it was read from", () => {
    const bytes = Uint8Array.from(encodeControl(RECORD, [alice]));
    const signed = decodeControl(bytes);
    bytes.fill(0xff);
    const policy = { publishers: [publicKeyBytes(alice)], signature: "required" } as const;
    expect(outcome(() => checkControlTrust(signed, policy, false))).toBe("ok");
  });

  it("throws nothing but AppErrors, whatever the bytes", () => {
    const prefix = Buffer.from(encodeControl(RECORD, []).subarray(0, 16));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (tail, hasPrefix) => {
        const read = outcome(() => decodeControl(hasPrefix ? Buffer.concat([prefix, tail]) : tail));
        expect(read).toMatch(/^(?:ok|ERR_CONTROL_INVALID|ERR_FORMAT_UNSUPPORTED)$/);
      }),
    );
  });

  it("refuses every truncation and every byte too many", () => {
    const bytes = encodeControl(RECORD, [alice]);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(() => decodeControl(bytes.subarray(0, length))).toThrow(code("ERR_CONTROL_INVALID"));
    }
    expect(() => decodeControl(Buffer.concat([bytes, Buffer.alloc(1)]))).toThrow(code("ERR_CONTROL_INVALID"));
  });

  it("refuses later formats and unknown features with ERR_FORMAT_UNSUPPORTED", () => {
    const later = Buffer.from(encodeControl(RECORD, []));
    later.writeUInt16LE(2, 4);
    expect(() => decodeControl(later)).toThrow(code("ERR_FORMAT_UNSUPPORTED"));
    expect(() => decodeControl(rawControl({ ...RECORD, requires: ["ckmesh-9"] }))).toThrow(
      code("ERR_FORMAT_UNSUPPORTED"),
    );
  });

  it("takes 64 KiB and refuses one byte more", () => {
    const rest = MAX_CONTROL_BYTES - filled(60_000).length;
    expect(filled(60_000 + rest)).toHaveLength(MAX_CONTROL_BYTES);
    expect(decodeControl(filled(60_000 + rest)).record.serial).toBe(7);
    expect(() => decodeControl(filled(60_001 + rest))).toThrow(code("ERR_CONTROL_INVALID"));
  });

  const [rollout] = RECORD.rollouts;
  it.each<[string, object]>([
    ["a name that is none", { name: "a b" }],
    ["serial 0", { serial: 0 }],
    ["a version twice", { withdrawn: [{ version: 3 }, { version: 3 }] }],
    ["versions in descending order", { rollouts: [rollout, { ...rollout, version: 5 }] }],
    ["going back to a newer version", { withdrawn: [{ version: 3, backTo: 3 }] }],
    ["a rollout that a later record decided", { rollouts: [{ ...rollout, since: 8 }] }],
    ["more approvals than rings", { rollouts: [{ ...rollout, approved: 3 }] }],
    ["a ring of nothing", { rollouts: [{ ...rollout, rings: [{}], approved: 0 }] }],
    ["more than all clients", { rollouts: [{ ...rollout, rings: [{ percent: 101 }], approved: 0 }] }],
    ["fetching after activating", { rollouts: [{ ...rollout, prefetchAt: 2, activateAt: 1 }] }],
    ["a limit without reports", { rollouts: [{ ...rollout, failureLimit: { percent: 5, minReports: 0 } }] }],
    ["a reason that is a novel", { withdrawn: [{ version: 1, reason: "x".repeat(501) }] }],
    ["no lists", { withdrawn: undefined }],
  ])("refuses %s with ERR_CONTROL_INVALID", (_, change) => {
    expect(() => decodeControl(rawControl({ ...RECORD, ...change }))).toThrow(code("ERR_CONTROL_INVALID"));
  });
});

describe("encodeControl", () => {
  it("writes nothing that it would not read", () => {
    expect(() => encodeControl(emptyControl("Win11"), [])).toThrow(code("ERR_CONTROL_INVALID"));
    expect(() => encodeControl({ ...RECORD, serial: 1.5 }, [])).toThrow(code("ERR_CONTROL_INVALID"));
  });
});

describe("checkControlTrust", () => {
  const signed = decodeControl(encodeControl(RECORD, [alice]));
  const unsigned = decodeControl(encodeControl(RECORD, []));
  const ofAlice = { publishers: [publicKeyBytes(alice)], signature: "whenConfigured" } as const;
  const nobody = { publishers: [], signature: "whenConfigured" } as const;

  it("wants a configured publisher's signature as soon as there is a publisher, also over TLS", () => {
    expect(outcome(() => checkControlTrust(signed, ofAlice, false))).toBe("ok");
    expect(() => checkControlTrust(unsigned, ofAlice, true)).toThrow(code("ERR_SIGNATURE_INVALID"));
    const ofBob = decodeControl(encodeControl(RECORD, [bob]));
    expect(() => checkControlTrust(ofBob, ofAlice, true)).toThrow(code("ERR_SIGNATURE_INVALID"));
  });

  it("without publishers takes a record over TLS only, signed or not", () => {
    expect(outcome(() => checkControlTrust(unsigned, nobody, true))).toBe("ok");
    expect(() => checkControlTrust(unsigned, nobody, false)).toThrow(code("ERR_SIGNATURE_INVALID"));
    expect(() => checkControlTrust(signed, nobody, false)).toThrow(code("ERR_SIGNATURE_INVALID"));
  });

  it("refuses a signature that was made for another record", () => {
    const forged = {
      ...unsigned,
      signatures: decodeControl(encodeControl({ ...RECORD, serial: 8 }, [alice])).signatures,
    };
    expect(() => checkControlTrust(forged, ofAlice, true)).toThrow(code("ERR_SIGNATURE_INVALID"));
  });
});

describe("checkControlSuccession", () => {
  it("takes a higher serial and the same record once more", () => {
    expect(outcome(() => checkControlSuccession(undefined, unsignedOf({})))).toBe("ok");
    expect(outcome(() => checkControlSuccession(unsignedOf({}), unsignedOf({ serial: 8 })))).toBe("ok");
    expect(outcome(() => checkControlSuccession(unsignedOf({}), unsignedOf({})))).toBe("ok");
  });

  it("refuses an older record, and another one with the same serial, with ERR_CONTROL_OUTDATED", () => {
    const outdated = expect.objectContaining({ code: "ERR_CONTROL_OUTDATED", details: { serial: 8 } });
    expect(() => checkControlSuccession(unsignedOf({ serial: 8 }), unsignedOf({}))).toThrow(outdated);
    expect(() =>
      checkControlSuccession(unsignedOf({ serial: 8 }), unsignedOf({ serial: 8, withdrawn: [] })),
    ).toThrow(outdated);
  });
});

describe("control file names", () => {
  it("name one image, by the rules for images", () => {
    expect(parseControlFileName(controlFileName("Win11"))).toBe("Win11");
    expect(parseControlFileName("Win11.ckm.index")).toBeUndefined();
    expect(parseControlFileName("a b.control.index")).toBeUndefined();
    expect(parseControlFileName(".control.index")).toBeUndefined();
    expect(parseControlFileName("Win11_3.control.index")).toBeUndefined();
  });
});

describe("nextControlSerial", () => {
  it("is the clock's, and grows also when the clock was set back", () => {
    expect(nextControlSerial(undefined, 1000.7)).toBe(1000);
    expect(nextControlSerial(500, 1000)).toBe(1000);
    expect(nextControlSerial(2000, 1000)).toBe(2001);
  });
});
