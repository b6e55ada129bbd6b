import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { watchTls } from "../src/watch-tls.js";
import { temporaryFolder } from "./origin-fixture.js";

describe("watchTls", () => {
  it("hands changed files to TLS listeners, keeps the old ones while a file is bad, and stops", () => {
    const folder = temporaryFolder();
    const [tlsCert, tlsKey] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    writeFileSync(tlsCert, "one");
    writeFileSync(tlsKey, "key");
    const clock = new VirtualClock();
    const taken: string[] = [];
    const listener = {
      isTls: true,
      replaceTls: ({ cert }: { cert: Buffer }) => {
        if (cert.toString() === "bad!") throw new Error("no certificate");
        taken.push(cert.toString());
      },
    };
    const stop = watchTls({ tlsCert, tlsKey }, [listener], clock, silentLogger);
    clock.advance(60_000);
    writeFileSync(tlsCert, "second");
    clock.advance(30_000);
    writeFileSync(tlsCert, "bad!");
    clock.advance(30_000);
    writeFileSync(tlsCert, "thirdly");
    clock.advance(30_000);
    stop();
    writeFileSync(tlsCert, "too late");
    clock.advance(600_000);
    expect(taken).toEqual(["second", "thirdly"]);
  });
});
