import { isAppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseControlRequest } from "../src/control-request.js";

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
  });

  it("refuses everything else with a code", () => {
    const refused = [
      "",
      "null",
      "[]",
      '{"command":"stop"}',
      '{"command":"accept"}',
      '{"command":"rollback","image":7}',
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
