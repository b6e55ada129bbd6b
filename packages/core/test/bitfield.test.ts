import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Bitfield } from "../src/index.js";

const indexes = (length: number) => fc.array(fc.integer({ min: 0, max: length - 1 }), { maxLength: 60 });

describe("Bitfield", () => {
  it("holds exactly the bits that were added and not deleted", () => {
    fc.assert(
      fc.property(indexes(100), indexes(100), (added, deleted) => {
        const field = new Bitfield(100);
        for (const i of added) field.add(i);
        for (const i of deleted) field.delete(i);
        const expected = new Set(added);
        for (const i of deleted) expected.delete(i);
        expect(Array.from({ length: 100 }, (_, i) => field.has(i))).toEqual(
          Array.from({ length: 100 }, (_, i) => expected.has(i)),
        );
        expect(field.count).toBe(expected.size);
      }),
    );
  });

  it("adds a run as its bits one by one, and none outside", () => {
    fc.assert(
      fc.property(indexes(77), fc.nat(90), fc.nat(90), (before, first, count) => {
        const [whole, single] = [new Bitfield(77), new Bitfield(77)];
        for (const i of before) for (const field of [whole, single]) field.add(i);
        whole.addRun({ first, count });
        for (let i = first; i < first + count; i++) single.add(i);
        expect(whole.toBytes()).toEqual(single.toBytes());
        expect(whole.count).toBe(single.count);
      }),
    );
  });

  it("survives the way over the wire", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), fc.integer({ min: 0, max: 160 }), (bytes, length) => {
        const field = Bitfield.from(bytes, length);
        const again = Bitfield.from(field.toBytes(), length);
        expect(again.toBytes()).toEqual(field.toBytes());
        expect(again.count).toBe(field.count);
        expect(field.count).toBe(Array.from({ length }, (_, i) => field.has(i)).filter(Boolean).length);
      }),
    );
  });

  it("names runs that together are the whole range, alternately set and clear", () => {
    fc.assert(
      fc.property(
        indexes(77),
        fc.integer({ min: 0, max: 76 }),
        fc.integer({ min: 0, max: 90 }),
        (set, first, count) => {
          const field = new Bitfield(77);
          for (const i of set) field.add(i);
          const seen = new Set<number>();
          for (const value of [true, false]) {
            for (const run of field.runs(value, first, count)) {
              for (let i = run.first; i < run.first + run.count; i += 1) {
                expect(field.has(i)).toBe(value);
                expect(seen.has(i)).toBe(false);
                seen.add(i);
              }
            }
          }
          expect(seen.size).toBe(Math.min(count, 77 - first));
        },
      ),
    );
  });

  it("puts bit 0 first in the first byte, as BEP 3 does", () => {
    const field = new Bitfield(10);
    field.add(0);
    field.add(9);
    expect([...field.toBytes()]).toEqual([0x80, 0x40]);
  });

  it("clears the spare bits of foreign bytes", () => {
    expect(Bitfield.from(Uint8Array.of(0xff, 0xff), 9).count).toBe(9);
    expect([...Bitfield.from(Uint8Array.of(0xff, 0xff), 9).toBytes()]).toEqual([0xff, 0x80]);
  });

  it("ignores indexes outside", () => {
    const field = new Bitfield(8);
    expect(field.add(8)).toBe(false);
    expect(field.add(-1)).toBe(false);
    expect(field.delete(99)).toBe(false);
    expect(field.has(8)).toBe(false);
    expect(field.count).toBe(0);
  });

  it("is full when every bit is set, also with none", () => {
    expect(Bitfield.full(13).isFull).toBe(true);
    expect(new Bitfield(0).isFull).toBe(true);
    expect(new Bitfield(1).isFull).toBe(false);
  });

  it("says whether a whole range is set", () => {
    const field = new Bitfield(32);
    for (let i = 5; i < 20; i += 1) field.add(i);
    expect(field.hasAll(5, 15)).toBe(true);
    expect(field.hasAll(5, 16)).toBe(false);
    expect(field.hasAll(4, 2)).toBe(false);
  });

  it("gives copies that do not follow", () => {
    const field = new Bitfield(8);
    const copy = field.clone();
    field.toBytes().fill(0xff);
    copy.add(3);
    expect(field.count).toBe(0);
    expect(copy.count).toBe(1);
  });
});
