import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { watchTls } from "../../src/listener/watch-tls.js";
import { temporaryFolder } from "../origin-fixture.js";
import { TEST_CERT, TEST_KEY } from "../tls-fixture.js";

describe("watchTls", () => {
  it("hands changed files to TLS listeners, keeps the old ones while a file is bad, and stops", () => {
    const folder = temporaryFolder();
    const [tlsCert, tlsKey] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    // Text before a certificate does not count in PEM.
    writeFileSync(tlsCert, TEST_CERT);
    writeFileSync(tlsKey, TEST_KEY);
    const clock = new VirtualClock();
    const taken: string[] = [];
    const listener = {
      isTls: true,
      replaceTls: ({ cert }: { cert: Buffer }) => {
        taken.push(cert.toString().replace(/\n[^]*$/, ""));
      },
    };
    const { stop, look } = watchTls({ tlsCert, tlsKey }, [listener], clock, silentLogger);
    clock.advance(60_000);
    writeFileSync(tlsCert, `second\n${TEST_CERT}`);
    clock.advance(30_000);
    writeFileSync(tlsCert, "bad!");
    clock.advance(30_000);
    writeFileSync(tlsCert, `thirdly\n${TEST_CERT}`);
    look();
    stop();
    writeFileSync(tlsCert, `too late\n${TEST_CERT}`);
    clock.advance(600_000);
    expect(taken).toEqual(["second", "thirdly"]);
  });
});
