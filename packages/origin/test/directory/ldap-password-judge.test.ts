import { EventEmitter, once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { LdapPasswordJudge } from "../../src/directory/ldap-password-judge.js";

describe("LdapPasswordJudge", () => {
  it("asks a slow directory about eight passwords at a time, and lets sixty-four wait", async () => {
    let asked = 0;
    const directory = new EventEmitter().setMaxListeners(0);
    const judge = new LdapPasswordJudge(
      {
        isPrivate: true,
        netbiosDomain: "MEDV",
        findLogonName: async () => undefined,
        checkPassword: async () => {
          asked += 1;
          await once(directory, "answer");
          return undefined;
        },
      },
      "",
    );
    const guess = async (): Promise<unknown> => judge.check({ account: "alice", domain: "" }, "guess");
    const guesses = Array.from({ length: 72 }, guess);
    await turn();
    expect(asked).toBe(8);
    await expect(guess()).rejects.toMatchObject({ code: "ERR_RATE_LIMITED" });
    const all = Promise.all(guesses);
    while (asked < 72) {
      directory.emit("answer");
      await turn();
    }
    directory.emit("answer");
    expect(await all).toHaveLength(72);
  });
});
