import { isAppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseControlRequest } from "../../src/control/control-request.js";
import { MAX_OVERRIDE_MS } from "../../src/wan/wan-control.js";

describe("control request", () => {
  it("takes each command with what belongs to it", () => {
    expect(parseControlRequest('{"command":"status","more":1}')).toEqual({ command: "status" });
    expect(parseControlRequest('{"command":"check","image":"Win11"}')).toEqual({
      command: "check",
      image: "Win11",
    });
    expect(parseControlRequest('{"command":"accept","image":"Win11","version":3}')).toEqual({
      command: "accept",
      image: "Win11",
      version: 3,
    });
    expect(parseControlRequest('{"command":"limit","cap":"slow","forMs":1000}')).toEqual({
      command: "limit",
      cap: "slow",
      forMs: 1000,
    });
    expect(parseControlRequest('{"command":"limit","cap":2.5e6,"forMs":1000}')).toMatchObject({
      cap: 2_500_000,
    });
    expect(parseControlRequest('{"command":"import","folder":"/mnt/usb"}')).toEqual({
      command: "import",
      folder: "/mnt/usb",
    });
    expect(parseControlRequest('{"command":"limit","forMs":0}')).toEqual({ command: "limit", forMs: 0 });
  });

  it("refuses everything else with a code", () => {
    const refused = [
      "",
      "null",
      "[]",
      '{"command":"stop"}',
      '{"command":"accept"}',
      '{"command":"rollback","image":7}',
      '{"command":"limit"}',
      '{"command":"import"}',
      '{"command":"import","folder":"usb"}',
      '{"command":"limit","cap":"fast","forMs":1}',
      '{"command":"limit","cap":0,"forMs":1}',
      `{"command":"limit","cap":"off","forMs":${MAX_OVERRIDE_MS + 1}}`,
    ];
    for (const text of refused) {
      expect(() => parseControlRequest(text)).toThrow(
        expect.objectContaining({ code: "ERR_REQUEST_INVALID" }),
      );
    }
  });

  it("throws nothing but AppError for any text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(outcome(text)).toBe(true);
      }),
    );
  });
});

/** True if the text is taken, or refused with a code. */
function outcome(text: string): boolean {
  try {
    parseControlRequest(text);
    return true;
  } catch (err) {
    return isAppError(err);
  }
}
