/** Result codes that a BITS client acts on or shows ([MC-BUP] 2.2.1.2, 3.1.5.2.1), as unsigned 32-bit numbers. */
export const HRESULT = {
  /** BG_E_SESSION_NOT_FOUND: the client begins again with Create-Session. */
  sessionNotFound: 0x8020001f,
  /** E_ACCESSDENIED. */
  accessDenied: 0x80070005,
  /** E_INVALIDARG. */
  invalidArgument: 0x80070057,
  /** BG_E_TOO_LARGE. */
  tooLarge: 0x80200020,
  /** ERROR_DISK_FULL. */
  diskFull: 0x80070070,
  /** The application behind the server did not answer in time ([MC-BUP] 3.3.6.1). */
  notificationTimeout: 0x80070112,
} as const;

export type Hresult = (typeof HRESULT)[keyof typeof HRESULT];

/** BG_E_HTTP_ERROR_403 and the like: what BITS itself makes of a status. */
export function hresultOfStatus(status: number): number {
  return 0x80190000 + status;
}
