import { AppError, seededRandom } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  beginUpload,
  decodeReply,
  stepUpload,
  type UploadEvent,
  type UploadPlan,
  type UploadStep,
  uploadRecord,
} from "../src/index.js";
import { bodyOf, type ModelFaults, ModelServer } from "./model-server.js";

const NO_FAULT: Omit<ModelFaults, "random"> = {
  breaks: 0,
  losesAck: 0,
  dies: 0,
  maxFragmentBytes: 1000,
  has: () => false,
};

interface Outcome {
  readonly server: ModelServer;
  readonly step: UploadStep;
  readonly packets: number;
  readonly file: readonly number[];
}

/** Uploads `bytes` bytes; `restarts`: how often the client dies before a packet and goes on from its record. */
function upload(
  bytes: number,
  seed: number,
  faults: Partial<ModelFaults>,
  restarts = 0,
  more: Partial<UploadPlan> = {},
): Outcome {
  const clock = new VirtualClock();
  const random = seededRandom(seed);
  const file = Array.from({ length: bytes }, (_, at) => (at * 7 + seed) % 251);
  const server = new ModelServer(clock, file, { random, ...NO_FAULT, ...faults });
  const plan: UploadPlan = { totalBytes: bytes, host: "origin", maxFragmentBytes: 800, ...more };
  let step = beginUpload(plan);
  let packets = 0;
  for (let left = restarts; ; ) {
    const { action } = step;
    if (action.type === "wait") {
      clock.advance(action.until - clock.now());
      step = stepUpload(plan, step.state, { type: "wake", now: clock.now() }, random);
    } else if (action.type === "send") {
      packets += 1;
      const answer = server.handle(action.packet, bodyOf(action.packet, file));
      clock.advance(50);
      const record = uploadRecord(step.state);
      if (left > 0 && record !== undefined && random.next() < 0.1) {
        left -= 1;
        step = beginUpload(plan, record);
        continue;
      }
      const now = clock.now();
      step = stepUpload(plan, step.state, eventOf(action.packet.type, answer, now), random);
    } else {
      return { server, step, packets, file };
    }
  }
}

function eventOf(
  type: Parameters<typeof decodeReply>[0],
  answer: ReturnType<ModelServer["handle"]>,
  now: number,
): UploadEvent {
  if (answer === undefined)
    return { type: "lost", error: new AppError("ERR_ORIGIN_UNREACHABLE", "broken"), now };
  const headers = Object.fromEntries(
    Object.entries(answer.headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
  return { type: "reply", reply: decodeReply(type, answer.status, headers), now };
}

describe("both sides together", () => {
  it("send every byte once where nothing fails", () => {
    const { server, step, file } = upload(5000, 1, {});
    expect(step.action).toEqual({ type: "done" });
    expect([server.published, server.arrived, server.stagedSessions]).toEqual([[file], 5000, 0]);
  });

  it("agree on smaller fragments", () => {
    const { server, step, file } = upload(60_000, 1, { maxFragmentBytes: 20_000 }, 0, {
      maxFragmentBytes: 50_000,
    });
    expect(step.action).toEqual({ type: "done" });
    expect([server.published, server.arrived]).toEqual([[file], 60_000]);
  });

  it("send nothing but the first bytes where the server has the rest", () => {
    const { server, packets, file } = upload(5000, 1, { has: (run) => run > 0 }, 0, { firstBytes: 100 });
    expect([server.published, server.arrived, packets]).toEqual([[file], 100, 4]);
  });

  it("send the missing runs only", () => {
    const { server, file } = upload(5000, 1, { has: (run) => run % 5 !== 0 }, 0, { firstBytes: 100 });
    expect([server.published, server.arrived]).toEqual([[file], 1000]);
  });

  it("end with the same bytes, published once, whatever breaks", () => {
    const faults = fc.record({
      breaks: fc.double({ min: 0, max: 0.5, noNaN: true }),
      // A Close whose Acks are lost for 10 minutes on end is published again: not by such a chance.
      losesAck: fc.double({ min: 0, max: 0.1, noNaN: true }),
      runs: fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8000 }),
        fc.nat(),
        faults,
        fc.nat(5),
        (bytes, seed, how, restarts) => {
          const { breaks, losesAck, runs } = how;
          const has = (run: number): boolean => runs[run % runs.length] ?? false;
          const patienceMs = 86_400_000;
          const { server, step, file } = upload(bytes, seed, { breaks, losesAck, has }, restarts, {
            patienceMs,
          });
          // A client whose very first Ping is lost gives up at once.
          fc.pre(step.state.isHeard);
          expect(step.action).toEqual({ type: "done" });
          expect(server.published).toEqual([file]);
        },
      ),
    );
  });

  it("end with the same bytes where the server dies between packets too", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8000 }), fc.nat(), (bytes, seed) => {
        const { server, step, file } = upload(bytes, seed, { dies: 0.2, breaks: 0.2 }, 3);
        expect(step.action).toEqual({ type: "done" });
        expect(server.published.every((one) => one.every((byte, at) => byte === file[at]))).toBe(true);
        expect(server.published[0]).toHaveLength(bytes);
      }),
    );
  });
});
