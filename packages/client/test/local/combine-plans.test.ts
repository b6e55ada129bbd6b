import { AppError, Bitfield, type Run, silentLogger } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { combinePlans, type LocalPlanner } from "../../src/local/combine-plans.js";

const bits = (...indexes: readonly number[]): Bitfield => {
  const field = new Bitfield(8);
  for (const index of indexes) field.add(index);
  return field;
};
const list = (field: Bitfield): readonly number[] =>
  [...field.runs()].flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));

const fails =
  (code: "ERR_FILE_DENIED" | "ERR_STORE_FULL"): LocalPlanner =>
  () =>
    Promise.reject(new AppError(code, "no"));

describe("combinePlans", () => {
  it("asks each planner for what those before it did not find, and copies in their order", async () => {
    const asked: (readonly number[])[] = [];
    const finds =
      (...found: readonly number[]): LocalPlanner =>
      (missing) => {
        asked.push(list(missing));
        return Promise.resolve({
          rows: bits(...found),
          copy: (_, onStored) => Promise.resolve(onStored([{ first: found[0] ?? 0, count: 1 }])),
        });
      };
    const plan = await combinePlans([finds(2, 3), finds(), finds(5)], bits(2, 3, 5, 7), silentLogger);
    const stored: Run[] = [];
    await plan.copy(new AbortController().signal, (runs) => stored.push(...runs));
    expect(asked).toEqual([
      [2, 3, 5, 7],
      [5, 7],
      [5, 7],
    ]);
    expect(list(plan.rows)).toEqual([2, 3, 5]);
    expect(stored.map(({ first }) => first)).toEqual([2, 5]);
  });

  it("goes on without a planner that fails, but not when the disk is full", async () => {
    const plan = await combinePlans([fails("ERR_FILE_DENIED")], bits(1), silentLogger);
    expect(plan.rows.count).toBe(0);
    await expect(combinePlans([fails("ERR_STORE_FULL")], bits(1), silentLogger)).rejects.toMatchObject({
      code: "ERR_STORE_FULL",
    });
  });
});
