import type { LogonName } from "../judges.js";
import { encodeV2Temp, fileTime, ntHash, ntlmV2Key, v2Proof } from "./ntlm-v2.js";

export interface PasswordResponseOptions {
  readonly name: LogonName;
  readonly password: string;
  /** 8 bytes each. */
  readonly serverChallenge: Uint8Array;
  readonly clientChallenge: Uint8Array;
  /** ms since 1970. */
  readonly wall: number;
}

/** The NTLMv2 response of somebody who knows the password ([MS-NLMP] 3.3.2), with no pairs of a server in it. */
export function ntlmPasswordResponse(options: PasswordResponseOptions): Uint8Array {
  const { name, password, serverChallenge, clientChallenge, wall } = options;
  const key = ntlmV2Key(ntHash(password), name.account, name.domain);
  const temp = encodeV2Temp({ timestamp: fileTime(wall), clientChallenge, pairs: new Map() });
  return new Uint8Array(Buffer.concat([v2Proof(key, serverChallenge, temp), temp]));
}
