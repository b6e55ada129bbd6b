export { BitsFault, ERROR_CONTEXT } from "./bits-fault.js";
export { HRESULT, type Hresult } from "./hresult.js";
export type { BitsAnswer, BitsPacket, Fragment } from "./packet.js";
