import type { AuthScheme, SchemeStep } from "../scheme.js";
import { decodeToken, encodeToken } from "../token68.js";
import type { NtlmAcceptor } from "./ntlm-acceptor.js";
import { NtlmExchange } from "./ntlm-exchange.js";

/** `WWW-Authenticate: NTLM` ([MS-NTHT]): bare NTLM messages. */
export function ntlmScheme(acceptor: NtlmAcceptor): AuthScheme {
  return {
    name: "ntlm",
    challenge: () => "NTLM",
    open: (connection) => {
      const exchange = new NtlmExchange(acceptor, connection);
      return {
        async step(token, now): Promise<SchemeStep> {
          const step = await exchange.step(decodeToken(token) ?? new Uint8Array(0), now);
          switch (step.type) {
            case "challenge":
              return onConnection({ type: "continue", challenge: `NTLM ${encodeToken(step.message)}` });
            case "accepted":
              return onConnection({ type: "user", identity: step.identity, scheme: "ntlm" });
            case "refused":
              return onConnection(step);
          }
        },
      };
    },
  };
}

function onConnection(outcome: SchemeStep["outcome"]): SchemeStep {
  return { outcome, persistence: "connection" };
}
