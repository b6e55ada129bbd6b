/** Flags of NTLM messages ([MS-NLMP] 2.2.2.5), as far as they matter here. */
export const NTLM_FLAG = {
  unicode: 0x1,
  oem: 0x2,
  requestTarget: 0x4,
  sign: 0x10,
  seal: 0x20,
  ntlm: 0x200,
  anonymous: 0x800,
  domainSupplied: 0x1000,
  workstationSupplied: 0x2000,
  alwaysSign: 0x8000,
  targetIsDomain: 0x1_0000,
  targetIsServer: 0x2_0000,
  extendedSession: 0x8_0000,
  targetInfo: 0x80_0000,
  version: 0x200_0000,
  key128: 0x2000_0000,
  keyExchange: 0x4000_0000,
  key56: 0x8000_0000,
} as const;

/** Flags are 32 bits: JavaScript's operators make the highest one negative. */
export function combineFlags(...flags: readonly number[]): number {
  return flags.reduce((all, flag) => (all | flag) >>> 0, 0);
}

export function hasFlag(flags: number, flag: keyof typeof NTLM_FLAG): boolean {
  return (flags & NTLM_FLAG[flag]) !== 0;
}
