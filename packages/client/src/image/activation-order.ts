/** A version on its way from verified to active. */
export interface UnderWay {
  readonly version: number;
  /** It was told to stop, and has not ended yet. */
  readonly isStopped: boolean;
}

/** A version that is to begin that way. */
export interface Wish {
  readonly version: number;
  /** A person, or the publisher by a withdrawal, wants it now. */
  readonly isAsked: boolean;
}

/**
 * What becomes of the wish that a version become active while another one may be on that way: `begin`, when the other
 * one has stopped; `join`: it is on its way already; `wait`: it is thought of again when the other one has ended.
 *
 * A newer version does not stop the one before it: where disks take longer to rebuild than versions to come, none would
 * ever become active. It is fetched meanwhile.
 */
export function orderOf(current: UnderWay | undefined, next: Wish): "begin" | "join" | "wait" {
  if (current === undefined || current.isStopped) return "begin";
  if (current.version === next.version) return "join";
  return next.isAsked ? "begin" : "wait";
}
