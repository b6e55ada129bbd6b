import type { Identity } from "../identity.js";

/** Why a certificate that was presented cannot be used. */
export type CertificateFault =
  | "untrusted"
  | "revoked"
  /** No valid list says whether it is revoked: the list of its CA, or of a CA above, is missing or out of date. */
  | "revocationUnknown"
  | "expired"
  | "notYetValid"
  /** A mapping rule says deny. */
  | "denied"
  /** What TLS took for a certificate cannot be read. */
  | "malformed";

/** What a listener found out about the certificate of a connection. */
export type CertificateVerdict =
  | { readonly type: "none" }
  | { readonly type: "bad"; readonly fault: CertificateFault }
  /** Genuine, but no account belongs to it. */
  | { readonly type: "unmapped" }
  | { readonly type: "mapped"; readonly identity: Identity };

/** How a listener treats certificates: IIS's `SslNegotiateCert` and `SslRequireCert`. */
export type CertificateMode = "accept" | "require";

export type CertificateDecision =
  /** The other schemes decide. */
  | { readonly type: "continue" }
  | { readonly type: "user"; readonly identity: Identity }
  /** 403 with IIS's substatus. */
  | { readonly type: "forbidden"; readonly subStatus: number; readonly message: string };

/** IIS's substatus codes of 403 for client certificates. */
const SUB_STATUS = { required: 7, denied: 12, revoked: 13, untrusted: 16, expired: 17 } as const;

const FAULTS: Readonly<Record<CertificateFault, { readonly subStatus: number; readonly message: string }>> = {
  untrusted: { subStatus: SUB_STATUS.untrusted, message: "the client certificate is not trusted here" },
  revoked: { subStatus: SUB_STATUS.revoked, message: "the client certificate has been revoked" },
  revocationUnknown: {
    subStatus: SUB_STATUS.revoked,
    message:
      "nobody can say whether the client certificate is revoked: its CA's list is missing or out of date",
  },
  expired: { subStatus: SUB_STATUS.expired, message: "the client certificate has expired" },
  notYetValid: { subStatus: SUB_STATUS.expired, message: "the client certificate is not valid yet" },
  denied: { subStatus: SUB_STATUS.denied, message: "a mapping rule denies this client certificate" },
  malformed: { subStatus: SUB_STATUS.untrusted, message: "the client certificate cannot be read" },
};

/**
 * What follows for a request. A certificate that was presented and is bad forbids it whatever else the client
 * sends: a good password does not make up for it.
 */
export function decideCertificate(verdict: CertificateVerdict, mode: CertificateMode): CertificateDecision {
  switch (verdict.type) {
    case "mapped":
      return { type: "user", identity: verdict.identity };
    case "bad":
      return { type: "forbidden", ...FAULTS[verdict.fault] };
    case "none":
      if (mode === "accept") return { type: "continue" };
      return {
        type: "forbidden",
        subStatus: SUB_STATUS.required,
        message: "a client certificate is required here",
      };
    case "unmapped":
      if (mode === "accept") return { type: "continue" };
      return {
        type: "forbidden",
        subStatus: SUB_STATUS.denied,
        message: "no account belongs to this client certificate",
      };
  }
}
