import { equalBytes } from "@ckmesh/core";
import type { ConnectionFacts, RefusalReason } from "../scheme.js";
import { AV, type AvPairs } from "./av-pairs.js";
import { decodeText } from "./ntlm-text.js";

/** IIS's `extendedProtection`: ties a logon to the server that it was meant for. */
export interface ExtendedProtection {
  /** `Allow` refuses what is wrong; `Require` also what is absent. */
  readonly tokenChecking: "None" | "Allow" | "Require";
  /** Service names that clients may have meant, `HTTP/images.medv.test`; empty = any. */
  readonly spns: readonly string[];
}

const ABSENT = new Uint8Array(16);

/**
 * Why a logon with a right proof was meant for another server; undefined when it was meant for this one.
 * The pairs lie under the proof, so whoever relays them cannot change them. Where `Require` finds no TLS
 * there is no channel to bind to, and the service name must be one of the list.
 */
export function protectionFault(
  policy: ExtendedProtection,
  pairs: AvPairs,
  connection: ConnectionFacts,
): RefusalReason | undefined {
  if (policy.tokenChecking === "None") return undefined;
  const isRequired = policy.tokenChecking === "Require";
  const binding = pairs.get(AV.channelBinding) ?? ABSENT;
  if (equalBytes(binding, ABSENT)) {
    if (isRequired && connection.isTls) return "channel binding missing";
  } else if (!equalBytes(binding, connection.channelBinding ?? ABSENT)) {
    return "channel binding wrong";
  }
  const name = decodeText(pairs.get(AV.targetName) ?? new Uint8Array(0), true)?.toLowerCase();
  if (name === "") return isRequired && !connection.isTls ? "service name missing" : undefined;
  const isListed = policy.spns.some((spn) => spn.toLowerCase() === name);
  const mustBeListed = policy.spns.length > 0 || (isRequired && !connection.isTls);
  return mustBeListed && !isListed ? "service name wrong" : undefined;
}
