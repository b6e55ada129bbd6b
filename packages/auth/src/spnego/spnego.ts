import { equalBytes } from "@ckmesh/core";
import { contextTag, DER_TAG, type DerElement, derChildren, encodeDer, readDer } from "../der/der.js";

/** Mechanisms by their OID, contents of the DER element. */
const MECHANISM = {
  /** 1.2.840.113554.1.2.2 */
  kerberos: fromHexText("2a864886f712010202"),
  /** 1.2.840.48018.1.2.2: Kerberos as old versions of Windows write it. */
  microsoftKerberos: fromHexText("2a864882f712010202"),
  /** 1.3.6.1.4.1.311.2.2.10 */
  ntlm: fromHexText("2b06010401823702020a"),
} as const;

export type Mechanism = keyof typeof MECHANISM;

/** 1.3.6.1.5.5.2 */
const SPNEGO = fromHexText("2b0601050502");

/** The client's first token (RFC 4178 §4.2.1). */
export interface NegTokenInit {
  readonly type: "init";
  /** In the client's order; undefined stands for one that is not known here. */
  readonly mechanisms: readonly (Mechanism | undefined)[];
  /** The list exactly as received, a DER SEQUENCE: what mechListMIC signs. */
  readonly mechanismList: Uint8Array;
  /** Of the first mechanism. */
  readonly mechToken: Uint8Array | undefined;
}

/** RFC 4178 §4.2.2. */
export const NEG_STATE = { acceptCompleted: 0, acceptIncomplete: 1, reject: 2, requestMic: 3 } as const;

/** All later tokens, of both sides (RFC 4178 §4.2.2). */
export interface NegTokenResp {
  readonly type: "resp";
  readonly negState: number | undefined;
  readonly mechanism: Mechanism | undefined;
  readonly responseToken: Uint8Array | undefined;
  readonly mechListMic: Uint8Array | undefined;
}

/** A token of Kerberos without SPNEGO around it (RFC 4121 §4.1). */
interface BareKerberosToken {
  readonly type: "kerberos";
}

export type SpnegoToken = NegTokenInit | NegTokenResp | BareKerberosToken;

/** Tells tokens apart by their bytes; undefined for anything malformed. */
export function parseSpnego(token: Uint8Array): SpnegoToken | undefined {
  const outer = readDer(token);
  if (outer === undefined || outer.raw.byteLength !== token.byteLength) return undefined;
  if (outer.tag === contextTag(1)) return parseResp(outer.content);
  if (outer.tag !== DER_TAG.application0) return undefined;
  // What follows the OID of Kerberos is no DER: look at the OID alone first.
  const oid = readDer(outer.content);
  if (oid === undefined || oid.tag !== DER_TAG.oid) return undefined;
  if (equalBytes(oid.content, MECHANISM.kerberos)) return { type: "kerberos" };
  return equalBytes(oid.content, SPNEGO) ? parseInit(outer.content.subarray(oid.raw.byteLength)) : undefined;
}

function parseInit(content: Uint8Array): NegTokenInit | undefined {
  const fields = fieldsOf(readTagged(content, contextTag(0)));
  const list = readTagged(fields?.get(contextTag(0)), DER_TAG.sequence, "raw");
  const oids = derChildren(readTagged(list, DER_TAG.sequence) ?? new Uint8Array(0));
  if (fields === undefined || list === undefined || oids === undefined) return undefined;
  if (oids.length === 0 || oids.some((oid) => oid.tag !== DER_TAG.oid)) return undefined;
  const mechToken = octets(fields, 2);
  if (mechToken === "malformed") return undefined;
  return {
    type: "init",
    mechanisms: oids.map((oid) => mechanismOf(oid.content)),
    mechanismList: list,
    mechToken,
  };
}

function parseResp(content: Uint8Array): NegTokenResp | undefined {
  const fields = fieldsOf(content);
  if (fields === undefined) return undefined;
  const [state, mechanism] = [fields.get(contextTag(0)), fields.get(contextTag(1))];
  const negState = readTagged(state, DER_TAG.enumerated);
  const oid = readTagged(mechanism, DER_TAG.oid);
  const [responseToken, mechListMic] = [octets(fields, 2), octets(fields, 3)];
  if (state !== undefined && negState?.byteLength !== 1) return undefined;
  if (mechanism !== undefined && oid === undefined) return undefined;
  if (responseToken === "malformed" || mechListMic === "malformed") return undefined;
  return {
    type: "resp",
    negState: negState?.[0],
    mechanism: oid === undefined ? undefined : mechanismOf(oid),
    responseToken,
    mechListMic,
  };
}

export function encodeNegTokenInit(mechanisms: readonly Mechanism[], mechToken: Uint8Array): Uint8Array {
  const body = encodeDer(
    DER_TAG.sequence,
    encodeDer(contextTag(0), encodeMechanismList(mechanisms)),
    encodeDer(contextTag(2), encodeDer(DER_TAG.octetString, mechToken)),
  );
  return encodeDer(DER_TAG.application0, encodeDer(DER_TAG.oid, SPNEGO), encodeDer(contextTag(0), body));
}

/** The SEQUENCE OF mechanisms: what mechListMIC signs. */
export function encodeMechanismList(mechanisms: readonly Mechanism[]): Uint8Array {
  return encodeDer(DER_TAG.sequence, ...mechanisms.map((name) => encodeDer(DER_TAG.oid, MECHANISM[name])));
}

export function encodeNegTokenResp(token: Partial<Omit<NegTokenResp, "type">>): Uint8Array {
  const { negState, mechanism, responseToken, mechListMic } = token;
  const fields = [
    negState === undefined ? undefined : encodeDer(DER_TAG.enumerated, Uint8Array.of(negState)),
    mechanism === undefined ? undefined : encodeDer(DER_TAG.oid, MECHANISM[mechanism]),
    responseToken === undefined ? undefined : encodeDer(DER_TAG.octetString, responseToken),
    mechListMic === undefined ? undefined : encodeDer(DER_TAG.octetString, mechListMic),
  ];
  const encoded = fields.flatMap((field, n) =>
    field === undefined ? [] : [encodeDer(contextTag(n), field)],
  );
  return encodeDer(contextTag(1), encodeDer(DER_TAG.sequence, ...encoded));
}

/** The fields of a SEQUENCE by their context tags; undefined when one comes twice. */
function fieldsOf(bytes: Uint8Array | undefined): ReadonlyMap<number, Uint8Array> | undefined {
  const content = readTagged(bytes, DER_TAG.sequence);
  const children = content === undefined ? undefined : derChildren(content);
  if (children === undefined) return undefined;
  const fields = new Map(children.map((child) => [child.tag, child.content]));
  return fields.size === children.length ? fields : undefined;
}

/** The one element that `bytes` hold, when it has this tag and nothing follows it. */
function readTagged(
  from: Uint8Array | undefined,
  tag: number,
  part: keyof Pick<DerElement, "content" | "raw"> = "content",
): Uint8Array | undefined {
  const found = from === undefined ? undefined : readDer(from);
  return found === undefined || found.tag !== tag || found.raw.byteLength !== from?.byteLength
    ? undefined
    : found[part];
}

function octets(fields: ReadonlyMap<number, Uint8Array>, n: number): Uint8Array | undefined | "malformed" {
  const field = fields.get(contextTag(n));
  return field === undefined ? undefined : (readTagged(field, DER_TAG.octetString) ?? "malformed");
}

function mechanismOf(oid: Uint8Array): Mechanism | undefined {
  if (equalBytes(oid, MECHANISM.kerberos)) return "kerberos";
  if (equalBytes(oid, MECHANISM.microsoftKerberos)) return "microsoftKerberos";
  return equalBytes(oid, MECHANISM.ntlm) ? "ntlm" : undefined;
}

function fromHexText(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, "hex"));
}
