export { Accounts, parseAccountName, parseAccounts } from "./accounts.js";
export { Authenticator, type AuthOutcome, type AuthScheme, basicScheme } from "./authenticator.js";
export { BasicVerifier } from "./basic-verifier.js";
export { hashPassword } from "./password-hash.js";
export { isGranted, type Principal, type Right, type Rights } from "./rights.js";
