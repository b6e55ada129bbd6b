import type { HostScanResult, HostScanTask } from "./host-scan.js";
import type { HostPlaces, HostSearchTask } from "./host-search.js";

export interface HostIndexState {
  /** Files whose blocks are known, and how many blocks. */
  readonly files: number;
  readonly blocks: number;
  /** Every folder was looked through once. */
  readonly isComplete: boolean;
}

/** What the thread of the host index is asked, by name, and what it answers. */
export interface HostCalls {
  readonly state: { readonly task: null; readonly result: HostIndexState };
  readonly scan: { readonly task: HostScanTask; readonly result: HostScanResult };
  readonly search: { readonly task: HostSearchTask; readonly result: HostPlaces };
  /** The bytes that the thread asked for with `pace` may be read. */
  readonly admitted: { readonly task: null; readonly result: null };
  /** Ends a scan; answered when the database is closed. */
  readonly close: { readonly task: null; readonly result: null };
}

export type HostCallName = keyof HostCalls;

export type HostRequest = {
  readonly [K in HostCallName]: {
    readonly call: number;
    readonly name: K;
    readonly task: HostCalls[K]["task"];
  };
}[HostCallName];

export type HostReply<R> =
  | { readonly call: number; readonly type: "done"; readonly result: R }
  | { readonly call: number; readonly type: "failed"; readonly code: string; readonly message: string };

/** The thread asks when it may read so many bytes; answered with `admitted`. */
export interface HostPace {
  readonly type: "pace";
  readonly bytes: number;
}
