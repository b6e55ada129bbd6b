import { createLogger } from "@ckmesh/runtime";
import { describe, expect, it, onTestFinished } from "vitest";
import { DomainNames } from "../../src/logon/domain-names.js";
import { openKerberosJudge } from "../../src/logon/kerberos-judge.js";

const DOMAINS = new DomainNames({ netbiosDomain: "MEDV", realms: ["MEDV.TEST"], dnsNames: [] });

/** Stands for the compiled package: a token is the name of whoever made it, `!` before it makes it a replay. */
const PACKAGE = {
  initializeServer: (service: string) => {
    const server = {
      username: "",
      contextComplete: false,
      step: (token: string) => {
        const name = Buffer.from(token, "base64").toString();
        if (name.startsWith("!")) return Promise.reject(new Error("Request is a replay"));
        server.username = name;
        server.contextComplete = true;
        return Promise.resolve(Buffer.from(`${service} reply`).toString("base64"));
      },
    };
    return Promise.resolve(server);
  },
};

function open(load: () => unknown) {
  const log: string[] = [];
  const logger = createLogger({ level: "info", destination: { write: (line) => log.push(line) } });
  const before = process.env["KRB5_KTNAME"];
  onTestFinished(() => {
    if (before === undefined) delete process.env["KRB5_KTNAME"];
    else process.env["KRB5_KTNAME"] = before;
  });
  const judge = openKerberosJudge({ keytab: "/k.keytab", domains: DOMAINS, logger, load });
  return { judge, log, accept: async (name: string) => judge?.accept(Buffer.from(name)) };
}

describe("the Kerberos judge", () => {
  it("names the user by the domain and passes the reply on", async () => {
    const { accept } = open(() => PACKAGE);
    expect(await accept("alice@MEDV.TEST")).toEqual({
      identity: { name: "MEDV\\alice", account: "alice", domain: "MEDV" },
      reply: Buffer.from("HTTP reply"),
    });
    expect(process.env["KRB5_KTNAME"]).toBe("/k.keytab");
  });

  it.each([
    "alice@OTHER.TEST",
    "WELLKNOWN/ANONYMOUS@MEDV.TEST",
    "WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS",
    "host/pc@MEDV.TEST",
    "@MEDV.TEST",
    "alice",
    "alice@x@MEDV.TEST",
    "OTHER\\alice@MEDV.TEST",
    "!alice@MEDV.TEST",
    "",
  ])("refuses %j", async (name) => {
    const { accept } = open(() => PACKAGE);
    expect(await accept(name)).toBeUndefined();
  });

  it("keeps tickets that are checked together apart, and turns away too many", async () => {
    const { accept } = open(() => PACKAGE);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 70 }, async (_, i) => (await accept(`user${i}@MEDV.TEST`))?.identity.account),
    );
    const accepted = outcomes.flatMap((o) => (o.status === "fulfilled" ? [o.value] : []));
    expect(accepted).toEqual(Array.from({ length: 66 }, (_, i) => `user${i}`));
    expect(outcomes[69]).toMatchObject({ reason: { code: "ERR_RATE_LIMITED" } });
  });

  it("with keys that cannot be used is unavailable: that is no wrong ticket", async () => {
    const { accept, log } = open(() => ({
      initializeServer: () => Promise.reject(new Error("No key table entry found")),
    }));
    await expect(accept("alice@MEDV.TEST")).rejects.toMatchObject({ code: "ERR_AUTH_UNAVAILABLE" });
    expect(log.join("")).toContain("No key table entry found");
  });

  it("that is not installed is not there, and the log says how to get it", () => {
    const { judge, log } = open(() => {
      throw new Error("Cannot find module 'kerberos'\nRequire stack:");
    });
    expect(judge).toBeUndefined();
    expect(log.join("")).toContain("npm install --global kerberos@7.0.0");
  });
});
