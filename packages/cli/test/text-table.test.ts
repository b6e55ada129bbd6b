import { expect, it } from "vitest";
import { textTable } from "../src/text-table.js";

it("aligns the first column to the left and the others to the right", () => {
  expect(
    textTable(
      ["client", "bytes"],
      [
        ["north-1", "1"],
        ["s", "1000000"],
      ],
    ),
  ).toEqual(["client     bytes", "-------  -------", "north-1        1", "s        1000000"]);
});
