import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { UploadPacer } from "../src/upload-pacer.js";

async function* parts(count: number, length: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i += 1) yield new Uint8Array(length);
}

/** Until all that can go on without the clock has. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

describe("a pacer", () => {
  it("lets bytes go at its rate, in parts of an eighth of a second", async () => {
    const clock = new VirtualClock();
    const pacer = new UploadPacer(80_000, clock);
    const sent: { readonly at: number; readonly length: number }[] = [];
    const done = (async () => {
      for await (const part of pacer.pace(parts(2, 80_000), new AbortController().signal))
        sent.push({ at: clock.now(), length: part.length });
    })();
    await turn();
    for (let i = 0; i < 20; i += 1) {
      clock.advance(125);
      await turn();
    }
    await done;
    expect(sent.length).toBe(16);
    expect(sent.every(({ length }) => length === 10_000)).toBe(true);
    expect((sent.at(-1)?.at ?? 0) - (sent[0]?.at ?? 0)).toBe(15 * 125);
  });

  it("does not make up for a pause by more than a quarter of a second", async () => {
    const clock = new VirtualClock();
    const pacer = new UploadPacer(80_000, clock);
    clock.advance(60_000);
    const start = clock.now();
    const at: number[] = [];
    const done = (async () => {
      for await (const part of pacer.pace(parts(1, 80_000), new AbortController().signal)) {
        expect(part.length).toBe(10_000);
        at.push(clock.now() - start);
      }
    })();
    await turn();
    for (let i = 0; i < 10; i += 1) {
      clock.advance(125);
      await turn();
    }
    await done;
    expect(at).toEqual([0, 0, 0, 125, 250, 375, 500, 625]);
  });

  it("ends with ERR_ABORTED", async () => {
    const clock = new VirtualClock();
    const stop = new AbortController();
    const pacer = new UploadPacer(1000, clock);
    const done = (async () => {
      for await (const part of pacer.pace(parts(1, 80_000), stop.signal)) expect(part.length).toBe(1024);
    })();
    await turn();
    stop.abort();
    await expect(done).rejects.toMatchObject({ code: "ERR_ABORTED" });
  });
});
