import { isAppError } from "@ckmesh/core";
import {
  checkJoinProof,
  checkTicket,
  issueTicket,
  joinProof,
  MAX_TICKET_BYTES,
  type Ticket,
} from "@ckmesh/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const KEY = new Uint8Array(32).fill(7);
const TICKET: Ticket = {
  peerId: new Uint8Array(32).fill(1),
  user: "DOMAIN\\alice",
  role: "client",
  site: "Berlin",
  expires: 2_000,
};

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (err) {
    return isAppError(err) ? err.code : `not an AppError: ${String(err)}`;
  }
  return "no error";
}

describe("ticket", () => {
  it("opens what was sealed with the same key", () => {
    expect(checkTicket(KEY, issueTicket(KEY, TICKET), 1_999)).toEqual({
      ...TICKET,
      peerId: Uint8Array.from(TICKET.peerId),
    });
    const { site: _, ...withoutSite } = TICKET;
    expect(checkTicket(KEY, issueTicket(KEY, withoutSite), 0).site).toBeUndefined();
  });

  it("refuses at the moment of expiry", () => {
    expect(codeOf(() => checkTicket(KEY, issueTicket(KEY, TICKET), 2_000))).toBe("ERR_TICKET_INVALID");
  });

  it("refuses another key", () => {
    const other = new Uint8Array(32).fill(8);
    expect(codeOf(() => checkTicket(other, issueTicket(KEY, TICKET), 0))).toBe("ERR_TICKET_INVALID");
  });

  it("refuses a key that is too short to be one", () => {
    expect(codeOf(() => issueTicket(new Uint8Array(15), TICKET))).toBe("ERR_CONFIG_INVALID");
  });

  it("refuses every changed or cut byte", () => {
    const sealed = issueTicket(KEY, TICKET);
    for (let i = 0; i < sealed.length; i += 1) {
      const changed = Uint8Array.from(sealed);
      changed[i] = (changed[i] ?? 0) ^ 1;
      expect(codeOf(() => checkTicket(KEY, changed, 0))).toBe("ERR_TICKET_INVALID");
      expect(codeOf(() => checkTicket(KEY, sealed.subarray(0, i), 0))).toBe("ERR_TICKET_INVALID");
    }
  });

  it("answers arbitrary bytes with ERR_TICKET_INVALID", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: MAX_TICKET_BYTES + 2 }), (bytes) => {
        expect(codeOf(() => checkTicket(KEY, bytes, 0))).toBe("ERR_TICKET_INVALID");
      }),
    );
  });

  it("checks the body even when the seal is right", () => {
    const bad = [
      { ...TICKET, peerId: new Uint8Array(31) },
      { ...TICKET, expires: 1.5 },
      { ...TICKET, site: "a\u0000b" },
      { ...TICKET, user: "u".repeat(257) },
    ];
    for (const ticket of bad) {
      expect(codeOf(() => checkTicket(KEY, issueTicket(KEY, ticket), 0))).toBe("ERR_TICKET_INVALID");
    }
  });

  it("cannot be mistaken for a join proof", () => {
    const nonce = new Uint8Array(16).fill(3);
    expect(joinProof(KEY, nonce, TICKET.peerId)).not.toEqual(issueTicket(KEY, TICKET).subarray(0, 32));
  });
});

describe("join proof", () => {
  const nonce = new Uint8Array(16).fill(3);

  it("holds for its nonce, peer and key only", () => {
    const proof = joinProof(KEY, nonce, TICKET.peerId);
    expect(checkJoinProof(KEY, nonce, TICKET.peerId, proof)).toBe(true);
    expect(checkJoinProof(KEY, new Uint8Array(16), TICKET.peerId, proof)).toBe(false);
    expect(checkJoinProof(KEY, nonce, new Uint8Array(32), proof)).toBe(false);
    expect(checkJoinProof(new Uint8Array(32), nonce, TICKET.peerId, proof)).toBe(false);
    expect(checkJoinProof(KEY, nonce, TICKET.peerId, proof.subarray(1))).toBe(false);
  });
});
