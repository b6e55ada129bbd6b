export { Authenticator } from "./authenticator.js";
export { basicScheme } from "./basic/basic-scheme.js";
export { BasicVerifier } from "./basic/basic-verifier.js";
export {
  CertificateMapper,
  type CertificateMappings,
  type DirectoryMapping,
  type OneToOneMapping,
} from "./certificate/certificate-mapper.js";
export {
  type CertificateDecision,
  type CertificateFault,
  type CertificateMode,
  type CertificateVerdict,
  decideCertificate,
} from "./certificate/certificate-verdict.js";
export { formatName } from "./certificate/distinguished-name.js";
export type { CertificateCondition, ManyToOneMapping } from "./certificate/many-to-one.js";
export { type RevocationListFacts, readRevocationList } from "./certificate/revocation-list.js";
export { readCertificate } from "./certificate/x509.js";
export { tlsServerEndPoint } from "./channel-binding.js";
export { offeredSchemes } from "./client/challenges.js";
export { ClientLogon, type PasswordCredentials } from "./client/client-logon.js";
export { type LogonStep, type MethodProblem, RequestLogon } from "./client/request-logon.js";
export type { AuthRequest, ConnectionAuth, PersistenceSwitches } from "./connection-auth.js";
export type { Identity, SchemeName } from "./identity.js";
export type {
  Directory,
  KerberosJudge,
  LogonName,
  NtlmJudge,
  NtlmResponse,
  PasswordJudge,
} from "./judges.js";
export { Accounts, parseAccounts, type StoredAccount } from "./local/accounts.js";
export { LocalJudge } from "./local/local-judge.js";
export { makeStoredAccount } from "./local/stored-account.js";
export { type LocalGroup, LocalGroups, parseLocalGroups } from "./local-groups.js";
export { Lockout } from "./lockout.js";
export { parseLogonName } from "./logon-name.js";
export type { ExtendedProtection } from "./ntlm/extended-protection.js";
export { NtlmAcceptor, type NtlmAcceptorOptions, type NtlmServerNames } from "./ntlm/ntlm-acceptor.js";
export {
  answerNtlmChallenge,
  makeNtlmNegotiate,
  type NtlmAnswer,
  type NtlmAnswerOptions,
  type NtlmCredentials,
} from "./ntlm/ntlm-client.js";
export { ntlmScheme } from "./ntlm/ntlm-scheme.js";
export { ntlmPasswordResponse } from "./ntlm/password-response.js";
export { dependsOnGroups, isGranted, type Principal, type Right, type Rights } from "./rights.js";
export type { AuthOutcome, AuthScheme, ConnectionFacts, RefusalReason } from "./scheme.js";
export { type NegotiateSchemeOptions, negotiateScheme } from "./spnego/negotiate-scheme.js";
export {
  isNtlmAcceptance,
  unwrapNtlmChallenge,
  wrapNtlmAnswer,
  wrapNtlmNegotiate,
} from "./spnego/spnego-client.js";
export { WorkQueue } from "./work-queue.js";
