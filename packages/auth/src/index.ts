export { Accounts, parseAccountName, parseAccounts } from "./accounts.js";
export { Authenticator } from "./authenticator.js";
export { basicScheme } from "./basic/basic-scheme.js";
export { BasicVerifier } from "./basic/basic-verifier.js";
export type { AuthRequest, ConnectionAuth } from "./connection-auth.js";
export type { Identity, SchemeName } from "./identity.js";
export type {
  Directory,
  KerberosJudge,
  LogonName,
  NtlmJudge,
  NtlmResponse,
  PasswordJudge,
} from "./judges.js";
export { hashPassword } from "./password-hash.js";
export { isGranted, type Principal, type Right, type Rights } from "./rights.js";
export type { AuthOutcome, AuthScheme, ConnectionFacts, RefusalReason } from "./scheme.js";
