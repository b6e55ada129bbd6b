import { silentLogger } from "@ckmesh/core";
import {
  createLogger,
  createMetrics,
  cryptoRandom,
  formatListen,
  onShutdown,
  parseListen,
  systemClock,
} from "@ckmesh/runtime";
import { describe, expect, it } from "vitest";

describe("parseListen", () => {
  it.each([
    ["0.0.0.0:80", "0.0.0.0", 80],
    ["[::1]:443", "::1", 443],
    ["localhost:0", "localhost", 0],
    [":8080", "0.0.0.0", 8080],
    ["*:65535", "0.0.0.0", 65535],
  ])("reads %s", (text, host, port) => expect(parseListen(text)).toEqual({ host, port }));

  it.each(["", "80", "1.2.3:80", "::1:80", "[::g]:80", "host:65536", "host:", "a b:80", "host:-1"])(
    "refuses %j with ERR_CONFIG_INVALID",
    (text) =>
      expect(() => parseListen(text)).toThrow(expect.objectContaining({ code: "ERR_CONFIG_INVALID" })),
  );

  it("formats IPv6 in brackets", () => expect(formatListen({ host: "::1", port: 8 })).toBe("[::1]:8"));
});

describe("createLogger", () => {
  it("masks secrets and writes errors with their code", () => {
    const lines: string[] = [];
    const logger = createLogger({ level: "info", destination: { write: (line) => lines.push(line) } });
    logger.child({ component: "gate" }).warn(
      {
        password: "p1",
        headers: { authorization: "Basic p2" },
        account: { token: "p3" },
        err: new TypeError("bad"),
      },
      "fixed phrase",
    );
    logger.debug({}, "not at this level");
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: "warn",
      component: "gate",
      msg: "fixed phrase",
      err: { type: "TypeError", message: "bad" },
    });
    expect(lines[0]).not.toMatch(/p1|p2|p3/);
  });
});

describe("createMetrics", () => {
  it("gives the same instrument for a name registered twice", async () => {
    const metrics = await createMetrics({ processMetrics: false });
    metrics.counter("ckmesh_a_total", "a", ["source"]).add(2, { source: "peers" });
    metrics.counter("ckmesh_a_total", "a", ["source"]).add(1, { source: "peers" });
    metrics.gauge("ckmesh_b_bytes", "b").set(7);
    metrics.histogram("ckmesh_c_seconds", "c", [1, 2]).observe(1.5);
    const text = await metrics.text();
    expect(text).toContain('ckmesh_a_total{source="peers"} 3');
    expect(text).toContain("ckmesh_b_bytes 7");
    expect(text).toContain('ckmesh_c_seconds_bucket{le="2"} 1');
  });

  it("keeps two programs in one process apart", async () => {
    const [one, other] = [
      await createMetrics({ processMetrics: false }),
      await createMetrics({ processMetrics: false }),
    ];
    one.counter("ckmesh_d_total", "d").add();
    expect(await other.text()).not.toContain("ckmesh_d_total");
  });
});

describe("systemClock and cryptoRandom", () => {
  it("fires once, and not when cancelled", async () => {
    const fired: string[] = [];
    const cancel = systemClock.after(1, () => fired.push("cancelled"));
    cancel();
    await new Promise<void>((done) => {
      systemClock.after(2, () => done());
    });
    expect(fired).toEqual([]);
  });

  it("stays within [0, 1)", () => {
    const values = Array.from({ length: 100 }, () => cryptoRandom.next());
    expect(values.every((v) => v >= 0 && v < 1)).toBe(true);
  });
});

describe("onShutdown", () => {
  it("closes once on the first signal and takes its handlers away", async () => {
    const before = process.listenerCount("SIGTERM");
    const signal = await new Promise((done) => {
      onShutdown(async (name) => done(name), { logger: silentLogger });
      process.emit("SIGTERM", "SIGTERM");
    });
    await new Promise((done) => setImmediate(done));
    expect(signal).toBe("SIGTERM");
    expect(process.listenerCount("SIGTERM")).toBe(before);
  });
});
