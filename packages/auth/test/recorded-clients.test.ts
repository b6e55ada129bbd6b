import { describe, expect, it } from "vitest";
import { ask, connectTo, serverOf } from "./logon-rig.js";

/*
 * Recorded from foreign clients against the server of the rig, whose challenge and time are always the same.
 * alice's password is Secret1. The client's own random bytes are in what it sent.
 */
const RECORDED = [
  {
    client: "curl 7.88.1 --ntlm: OEM text, no MIC",
    authorizations: [
      "NTLM TlRMTVNTUAABAAAABoIIAAAAAAAAAAAAAAAAAAAAAAA=",
      "NTLM TlRMTVNTUAADAAAAGAAYAEAAAACWAJYAWAAAAAQABADuAAAABQAFAPIAAAALAAsA9wAAAAAAAAAAAAAABoKJAKmXQpn" +
        "ROClVMySDzXYIjuVI8svwe3YFDMoX56pgyQWCE2Z6gVghMYEBAQAAAAAAAABJhJ54fd0BSPLL8Ht2BQwAAAAAAgAIAE0ARQB" +
        "EAFYAAQAMAEkATQBBAEcARQBTAAQAEgBtAGUAZAB2AC4AdABlAHMAdAADACAAaQBtAGEAZwBlAHMALgBtAGUAZAB2AC4AdAB" +
        "lAHMAdAAHAAgAAMyp8Xd93QEAAAAAAAAAAE1FRFZhbGljZVdPUktTVEFUSU9O",
    ],
    scheme: "ntlm",
    reply: undefined,
  },
  {
    client: "curl 7.88.1 --negotiate with gss-ntlmssp 1.2.0: SPNEGO, MIC, signed list of mechanisms",
    authorizations: [
      "Negotiate YEgGBisGAQUFAqA+MDygDjAMBgorBgEEAYI3AgIKoioEKE5UTE1TU1AAAQAAABeCCOIAAAAAAAAAAAAAAAAAAA" +
        "AABgIAAAAAAA8=",
      "Negotiate oYIBYTCCAV2gAwoBAaKCAUAEggE8TlRMTVNTUAADAAAAAAAAAFgAAAC+AL4AWAAAAAgACAAWAQAACgAKAB4BAA" +
        "AEAAQAKAEAABAAEAAsAQAAFYKJ4gYCAAAAAAAPAR8MhdVYZUuo/63oWQqMYP0dm/mLtiXo9EgUHhXFY+gBAQAAAAAAAADMqf" +
        "F3fd0Bg9WMsQCsHnYAAAAAAQAMAEkATQBBAEcARQBTAAIACABNAEUARABWAAMAIABpAG0AYQBnAGUAcwAuAG0AZQBkAHYALg" +
        "B0AGUAcwB0AAQAEgBtAGUAZAB2AC4AdABlAHMAdAAGAAQAAgAAAAcACAAAzKnxd33dAQkAHABIAFQAVABQAC8AbABvAGMAYQ" +
        "BsAGgAbwBzAHQAAAAAAAAAAABNAEUARABWAGEAbABpAGMAZQBWAE0Ah908koiQUxApzlPTl02gY6MSBBABAAAA5BBi4XQVCa" +
        "AAAAAA",
    ],
    scheme: "negotiate",
    // It accepted this signature of the server.
    reply: "Negotiate oRswGaADCgEAoxIEEAEAAACr52uyDCFENwAAAAA=",
  },
];

describe.each(RECORDED)("what $client sent", ({ authorizations, scheme, reply }) => {
  const [first = "", second = ""] = authorizations;

  it("proves its user", async () => {
    const connection = connect();
    expect((await ask(connection, first)).type).toBe("continue");
    const outcome = await ask(connection, second);
    expect(outcome).toMatchObject({ type: "user", identity: { name: "alice" }, scheme });
    expect(outcome.type === "user" && outcome.reply).toBe(reply);
  });

  it("proves nobody when it is replayed on a connection with another challenge", async () => {
    const connection = connect();
    await ask(connection, first);
    await ask(connection, first);
    expect(await ask(connection, second)).toMatchObject({ type: "refused", reason: "wrong password" });
  });
});

function connect() {
  return connectTo(serverOf({ accounts: [{ name: "alice", password: "Secret1" }] }), { isTls: false });
}
