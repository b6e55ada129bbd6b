import { generateKeyPairSync } from "node:crypto";
import { AppError, toHex } from "@ckmesh/core";
import {
  type ControlRecord,
  decodeControl,
  encodeControl,
  publicKeyBytes,
  type SignedControl,
} from "@ckmesh/image";
import { systemClock } from "@ckmesh/runtime";
import { describe, expect, it } from "vitest";
import { type SendOrderOptions, sendOrder } from "../src/send-order.js";

const [own, colleague, stranger] = [1, 2, 3].map(() => generateKeyPairSync("ed25519").privateKey);
const HOLD = { type: "hold", version: 3 } as const;

/** Keeps a record as the origin does: the next one must have been made from it. */
class Shelf {
  stored: Uint8Array | undefined;
  /** Runs once, before the next record is taken. */
  beforePut: (() => void) | undefined;

  async control(): Promise<SignedControl | undefined> {
    return this.stored === undefined ? undefined : decodeControl(this.stored);
  }

  async putControl(_name: string, bytes: Uint8Array, replaces: number): Promise<void> {
    const { beforePut } = this;
    this.beforePut = undefined;
    beforePut?.();
    const current = (await this.control())?.record.serial ?? 0;
    if (current !== replaces) throw new AppError("ERR_CONTROL_OUTDATED", "somebody else was quicker");
    this.stored = bytes;
  }
}

function record(serial: number, name = "Win11"): ControlRecord {
  return { name, serial, createdAt: 0, requires: [], withdrawn: [{ version: 1 }], rollouts: [] };
}

function send(place: Shelf, more: Partial<SendOrderOptions> = {}): Promise<ControlRecord> {
  const common = { image: "Win11", order: HOLD, signers: [], publishers: [], clock: systemClock };
  return sendOrder({ place, ...common, ...more });
}

describe("sendOrder", () => {
  it("begins the first record, and goes on from the one in force", async () => {
    const shelf = new Shelf();
    await send(shelf);
    await send(shelf, { order: { type: "withdraw", version: 2 } });
    expect((await shelf.control())?.record).toMatchObject({
      withdrawn: [{ version: 2 }],
      rollouts: [{ version: 3, isHeld: true }],
    });
  });

  it("keeps what somebody else changed meanwhile", async () => {
    const shelf = new Shelf();
    shelf.beforePut = () => {
      shelf.stored = encodeControl(record(7), []);
    };
    await send(shelf);
    expect((await shelf.control())?.record).toMatchObject({
      withdrawn: [{ version: 1 }],
      rollouts: [{ version: 3 }],
    });
  });

  it("gives up when the record changes under it again and again", async () => {
    const shelf = new Shelf();
    let serial = 0;
    const change = (): void => {
      serial += 1;
      shelf.stored = encodeControl(record(serial), []);
      shelf.beforePut = change;
    };
    shelf.beforePut = change;
    await expect(send(shelf)).rejects.toMatchObject({ code: "ERR_CONTROL_OUTDATED" });
    expect(serial).toBe(5);
  });

  it("signs, and signs anew only what it or a known colleague signed", async () => {
    if (own === undefined || colleague === undefined || stranger === undefined) return;
    const shelf = new Shelf();
    await send(shelf, { signers: [own] });
    await send(shelf, { signers: [own], order: { type: "release", version: 3 } });
    const [signature] = (await shelf.control())?.signatures ?? [];
    expect(toHex(signature?.key ?? new Uint8Array())).toBe(toHex(publicKeyBytes(own)));
    await expect(send(shelf, { signers: [colleague] })).rejects.toMatchObject({
      code: "ERR_SIGNATURE_INVALID",
    });
    await send(shelf, { signers: [colleague], publishers: [publicKeyBytes(own)] });
    shelf.stored = encodeControl(record(1), []);
    await expect(send(shelf, { signers: [own] })).rejects.toMatchObject({ code: "ERR_SIGNATURE_INVALID" });
    shelf.stored = encodeControl(record(1), [stranger]);
    await expect(send(shelf, { signers: [own] })).rejects.toMatchObject({ code: "ERR_SIGNATURE_INVALID" });
  });

  it("does not put an unsigned record in the place of a signed one", async () => {
    if (own === undefined) return;
    const shelf = new Shelf();
    await send(shelf, { signers: [own] });
    await expect(send(shelf)).rejects.toMatchObject({
      code: "ERR_USAGE",
      message: expect.stringContaining("--sign"),
    });
  });

  it("does not take the record of another image", async () => {
    const shelf = new Shelf();
    shelf.stored = encodeControl(record(1, "Other"), []);
    await expect(send(shelf)).rejects.toMatchObject({ code: "ERR_CONTROL_INVALID" });
  });
});
