import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { LdapPasswordJudge } from "../../src/directory/ldap-password-judge.js";

describe("LdapPasswordJudge", () => {
  it("asks a slow directory about eight passwords at a time, and lets sixty-four wait", async () => {
    const answers: (() => void)[] = [];
    const judge = new LdapPasswordJudge(
      {
        isPrivate: true,
        netbiosDomain: "MEDV",
        findLogonName: async () => undefined,
        checkPassword: async () => {
          await new Promise<void>((resolve) => answers.push(resolve));
          return undefined;
        },
      },
      "",
    );
    const guess = async (): Promise<unknown> => judge.check({ account: "alice", domain: "" }, "guess");
    const guesses = Array.from({ length: 72 }, guess);
    await turn();
    expect(answers).toHaveLength(8);
    await expect(guess()).rejects.toMatchObject({ code: "ERR_RATE_LIMITED" });
    const all = Promise.all(guesses);
    for (let i = 0; i < 72; i += 1) {
      answers[i]?.();
      await turn();
    }
    expect(await all).toHaveLength(72);
  });
});
