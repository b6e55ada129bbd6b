import { createLogger } from "@ckmesh/runtime";
import { expect, it } from "vitest";
import { readableLogLine } from "../src/readable-log.js";

function logged(write: (logger: ReturnType<typeof createLogger>) => void): string {
  let text = "";
  write(createLogger({ level: "info", destination: { write: (line) => (text += readableLogLine(line)) } }));
  return text;
}

it("says what happened, why, and to what, without stacks and braces", () => {
  const text = logged((l) =>
    l.warn({ image: "Win11", version: 2, err: new Error("no answer") }, "image not checked"),
  );
  expect(text).toBe("warn: image not checked: no answer (image Win11, version 2)\n");
});

it("leaves alone what is no line of the logger", () => {
  expect(readableLogLine("plain text\n")).toBe("plain text\n");
});
