import { describe, expect, it } from "vitest";
import type { BitsHandler } from "../../src/bits/bits-request.js";
import { eventually } from "../origin-fixture.js";
import { answering, openBitsListener } from "./bits-fixture.js";
import { get, packet, RawClient } from "./raw-client.js";

const HEALTH = get("/healthz");
/** Longer than any test. */
const LONG_MS = 60_000;

/** Answers when told. */
function held() {
  const answers: (() => void)[] = [];
  const handler: BitsHandler = async () => {
    await new Promise<void>((resolve) => answers.push(resolve));
    return { status: 200, headers: {} };
  };
  return { answers, handler };
}

const ok = answering(200);

describe.each(["http", "https"] as const)("an origin that stops, over %s,", (scheme) => {
  it("ends connections that wait for the next packet at once", async () => {
    const { url, listener, stop } = await openBitsListener(ok, { scheme });
    const clients = await Promise.all([RawClient.open(url), RawClient.open(url)]);
    for (const client of clients) expect((await client.ask(packet()))?.status).toBe(200);
    // The second one is Node's again.
    expect((await clients[1]?.ask(HEALTH))?.status).toBe(200);
    stop();
    await listener.close(LONG_MS);
    expect(await Promise.all(clients.map((client) => client.next()))).toEqual([undefined, undefined]);
  });

  it("lets a packet under way end, and says that it was the last one", async () => {
    const { answers, handler } = held();
    const { url, listener, stop } = await openBitsListener(handler, { scheme });
    const client = await RawClient.open(url);
    const answer = client.ask(packet() + packet());
    await eventually(() => answers.length === 1);
    stop();
    const closed = listener.close(LONG_MS);
    answers[0]?.();
    expect((await answer)?.headers.get("connection")).toEqual(["close"]);
    expect(await client.next()).toBeUndefined();
    await closed;
    expect(answers).toHaveLength(1);
  });

  it("answers 503 to packets that begin now, with the time to come back", async () => {
    const { url, stop } = await openBitsListener(ok, { scheme });
    const client = await RawClient.open(url);
    expect((await client.ask(packet()))?.status).toBe(200);
    stop();
    const answer = await client.ask(packet());
    expect([answer?.status, answer?.headers.get("retry-after"), answer?.headers.get("connection")]).toEqual([
      503,
      ["5"],
      ["close"],
    ]);
  });

  it("cuts a packet that takes too long", async () => {
    const { answers, handler } = held();
    const { url, listener, stop } = await openBitsListener(handler, { scheme });
    const client = await RawClient.open(url);
    const answer = client.ask(packet());
    await eventually(() => answers.length === 1);
    stop();
    await listener.close(10);
    expect(await answer).toBeUndefined();
    answers[0]?.();
  });
});

describe("the cap on connections", () => {
  it("counts those that speak BITS", async () => {
    const { url, listener } = await openBitsListener(ok, { maxConnections: 2 });
    const [first, second] = [await RawClient.open(url), await RawClient.open(url)];
    for (const client of [first, second]) expect((await client.ask(packet()))?.status).toBe(200);
    const third = await RawClient.open(url);
    expect(await third.ask(packet())).toBeUndefined();
    first.socket.destroy();
    await eventually(async () => (await (await RawClient.open(url)).ask(packet()))?.status === 200);
    listener.setMaxConnections(3);
    await eventually(async () => (await (await RawClient.open(url)).ask(HEALTH))?.status === 200);
  });
});
