import type { NtlmResponse } from "@ckmesh/auth";
import type { AnswerReader } from "./helper-process.js";

/*
 * Lines of `ntlm_auth --helper-protocol=ntlm-server-1` (its manual page; measured with Samba 4.17): `Key: value`
 * until a line with a dot. A refusal ends with two such lines, a success with one.
 */

export type NtlmServerAnswer =
  | { readonly type: "right"; readonly sessionBaseKey: Uint8Array }
  | { readonly type: "wrong" }
  /** Nobody judged; the reason is for the log. */
  | { readonly type: "unavailable"; readonly reason: string };

const END = ".";
/**
 * What `Authentication-Error` says when winbindd or every domain controller is away, or the machine is no (longer a)
 * member: texts of Samba for these states. Everything else is about the account.
 */
const UNAVAILABLE =
  /winbind|logon servers?\b|domain controller|trust (?:relationship|secret)|timed?[ _-]?out|rpc|NT_STATUS_(?:CANT_ACCESS_DOMAIN_INFO|CONNECTION|HOST_UNREACHABLE|NETWORK_UNREACHABLE|NO_LOGON_SERVERS|TRUSTED_)/i;
const SESSION_KEY = /^[0-9A-Fa-f]{32}$/;
/** Everything else goes in the encoded form, which nothing in a name can end. */
const PLAIN = /^[A-Za-z0-9._$-]+$/;
// oxlint-disable-next-line eslint/no-control-regex -- control characters are exactly what is refused
const CONTROL = /[\u0000-\u001f\u007f]/;

/** The request, or undefined for a name that no account has: line ends and the like are no names. */
export function ntlmServerRequest(response: NtlmResponse): string | undefined {
  const { account, domain } = response.name;
  if (account === "" || CONTROL.test(account) || CONTROL.test(domain)) return undefined;
  const lines = [
    textLine("Username", account),
    // Without the line ntlm_auth takes the domain that the machine has joined.
    ...(domain === "" ? [] : [textLine("NT-Domain", domain)]),
    `LANMAN-Challenge: ${hex(response.serverChallenge)}`,
    `NT-Response: ${hex(response.ntResponse)}`,
    "Request-User-Session-Key: Yes",
    END,
  ];
  return `${lines.join("\n")}\n`;
}

/** The second dot of a refusal comes when it likes, so also before the answer to the next request. */
export function isEmptyBlock(line: string): boolean {
  return line === END;
}

/** Reads one answer: empty blocks before it do not count, and it must say whether the logon is right. */
export function ntlmServerReader(): AnswerReader<NtlmServerAnswer> {
  const fields = new Map<string, string>();
  return {
    line(text) {
      if (text !== END) {
        const m = /^([A-Za-z-]+): (.*)$/.exec(text);
        const [key, value] = [m?.[1], m?.[2]];
        if (key === undefined || value === undefined || fields.has(key))
          throw new Error("a line that belongs to no answer");
        fields.set(key, value);
        return undefined;
      }
      if (fields.size === 0) return undefined;
      const verdict = fields.get("Authenticated");
      if (verdict === "No") {
        const reason = fields.get("Authentication-Error") ?? "";
        return UNAVAILABLE.test(reason) ? { type: "unavailable", reason } : { type: "wrong" };
      }
      if (verdict !== "Yes")
        throw new Error(`an answer without verdict: ${fields.get("Error") ?? "no error"}`);
      const key = fields.get("User-Session-Key") ?? "";
      if (!SESSION_KEY.test(key)) throw new Error("a logon without session key");
      return { type: "right", sessionBaseKey: Buffer.from(key, "hex") };
    },
  };
}

function textLine(key: string, value: string): string {
  return PLAIN.test(value) ? `${key}: ${value}` : `${key}:: ${Buffer.from(value, "utf8").toString("base64")}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
