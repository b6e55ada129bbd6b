import { fromHex, toHex } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { parseAccounts } from "../../src/local/accounts.js";
import { LocalJudge } from "../../src/local/local-judge.js";
import { encodeAvPairs } from "../../src/ntlm/av-pairs.js";
import { parseAuthenticate, parseChallenge } from "../../src/ntlm/ntlm-messages.js";
import { signFirst } from "../../src/ntlm/ntlm-signature.js";
import { utf16 } from "../../src/ntlm/ntlm-text.js";
import {
  encodeV2Temp,
  exportedSessionKey,
  ntHash,
  ntlmV2Key,
  parseV2Response,
  sessionBaseKey,
  v2Proof,
} from "../../src/ntlm/ntlm-v2.js";
import { rc4 } from "../../src/ntlm/rc4.js";

/* [MS-NLMP] 4.2: user "User", domain "Domain", password "Password", time 0, challenges as below. */
const SERVER_CHALLENGE = hex("0123456789abcdef");
const PAIRS = new Map([
  [2, utf16("Domain")],
  [1, utf16("Server")],
]);
const RANDOM_SESSION_KEY = new Uint8Array(16).fill(0x55);
const USER = {
  name: "user",
  password: "scrypt$1024$8$1$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
  nt: "a4f49c406510bdcab6824ee7c30fd852",
};
const key = ntlmV2Key(ntHash("Password"), "User", "Domain");
const temp = encodeV2Temp({
  timestamp: new Uint8Array(8),
  clientChallenge: new Uint8Array(8).fill(0xaa),
  pairs: PAIRS,
});
const proof = v2Proof(key, SERVER_CHALLENGE, temp);

/** 4.2.4.3 */
const CHALLENGE = hex(
  "4e544c4d53535000020000000c000c003800000033828ae20123456789abcdef000000000000000024002400440000000600" +
    "70170000000f53006500720076006500720002000c0044006f006d00610069006e0001000c00530065007200760065007200" +
    "00000000",
);
const AUTHENTICATE = hex(
  "4e544c4d5353500003000000180018006c00000054005400840000000c000c00480000000800080054000000100010005c00" +
    "000010001000d8000000358288e20501280a0000000f44006f006d00610069006e00550073006500720043004f004d005000" +
    "550054004500520086c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa68cd0ab851e51c96aabc927bebef6a1c0101" +
    "0000000000000000000000000000aaaaaaaaaaaaaaaa0000000002000c0044006f006d00610069006e0001000c0053006500" +
    "72007600650072000000000000000000c5dad2544fc9799094ce1ce90bc9d03e",
);

function hex(text: string): Uint8Array {
  const bytes = fromHex(text, text.length / 2);
  if (bytes === undefined) throw new Error(`no hexadecimal: ${text}`);
  return bytes;
}

describe("the vectors of [MS-NLMP] 4.2", () => {
  it.each([
    ["NTOWFv1", ntHash("Password"), "a4f49c406510bdcab6824ee7c30fd852"],
    ["NTOWFv2", key, "0c868a403bfd7a93a3001ef22ef02e3f"],
    ["NTProofStr", proof, "68cd0ab851e51c96aabc927bebef6a1c"],
    ["session base key", sessionBaseKey(key, proof), "8de40ccadbc14a82f15cb0ad0de95ca3"],
    [
      "encrypted session key",
      rc4(sessionBaseKey(key, proof), RANDOM_SESSION_KEY),
      "c5dad2544fc9799094ce1ce90bc9d03e",
    ],
  ])("give the %s", (_, value, expected) => {
    expect(toHex(value)).toBe(expected);
  });

  it("give the checksum of a signed message", () => {
    // 4.2.4.4: before it is sealed, which there happens after the text has used the key stream.
    const flags = 0xa2888235; // Without key exchange: the checksum as it is.
    const signature = signFirst({ sessionKey: RANDOM_SESSION_KEY, flags }, "client", utf16("Plaintext"));
    expect(toHex(signature?.subarray(4, 12) ?? new Uint8Array(0))).toBe("70352851f2564309");
  });

  it("are read from the challenge message", () => {
    expect(parseChallenge(CHALLENGE)).toEqual({
      flags: 0xe28a8233,
      challenge: SERVER_CHALLENGE,
      targetName: "Server",
      targetInfo: encodeAvPairs(PAIRS),
    });
  });

  it("are read from the authenticate message, and the local judge accepts it", async () => {
    const message = parseAuthenticate(AUTHENTICATE);
    expect(message).toMatchObject({
      domain: "Domain",
      user: "User",
      workstation: "COMPUTER",
      flags: 0xe2888235,
    });
    if (message === undefined) return;
    expect(parseV2Response(message.ntResponse)).toMatchObject({ proof, temp });
    const judge = new LocalJudge((count) => new Uint8Array(count), parseAccounts({ accounts: [USER] }));
    const judged = await judge.judge({
      name: { account: message.user, domain: message.domain },
      serverChallenge: SERVER_CHALLENGE,
      ntResponse: message.ntResponse,
    });
    expect(judged?.identity).toEqual({ name: "user", account: "user" });
    expect(exportedSessionKey(judged?.sessionBaseKey ?? key, message.sessionKey)).toEqual(RANDOM_SESSION_KEY);
  });
});
