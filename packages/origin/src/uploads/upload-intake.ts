import type { Identity } from "@ckmesh/auth";

/** Which file of the virtual directory an upload is to become. */
export interface UploadTarget {
  readonly image: string;
  readonly kind: "pack" | "index";
  /** Absent: the alias, which proposes a new version. */
  readonly version?: number;
  /** As the URL names it, decoded and checked. */
  readonly fileName: string;
}

/** A session whose bytes lie in a file of the staging folder. */
export interface StagedUpload {
  readonly sessionId: string;
  readonly target: UploadTarget;
  readonly user: Identity;
  /** The data file; bytes before `received` are in it. */
  readonly path: string;
  readonly received: number;
  /** Known from the first fragment on. */
  readonly total: number | undefined;
}

/** What an uploaded file means: names, checks, publication. The protocol and the session's file are not its business. */
export interface UploadIntake {
  /**
   * Reads the last segment of a URL below the virtual directory, still encoded.
   * @throws {BitsFault} 400 or 403 for what can be no upload
   */
  parseTarget(segment: string): UploadTarget;
  /** Before a session exists. @throws {BitsFault} 403 for a version that exists */
  admit(target: UploadTarget, user: Identity): Promise<void>;
  /** A new session, or one found on disk at the start. */
  begin(upload: StagedUpload): UploadWatcher;
  /**
   * True for a session of this user whose file was taken over, some time ago or before a restart: its Close was
   * answered, or would have been. @throws {BitsFault} when the file was refused
   */
  wasClosed(sessionId: string, user: Identity): boolean;
  /** Bytes of files that were taken over and are not published yet: they count for the quota of the staging folder. */
  heldBytes(): number;
}

/** Follows one session. Calls come one at a time, in order. */
export interface UploadWatcher {
  /** `bytes` have been written at `offset`, which is the end of what was there; valid during the call only. */
  wrote(bytes: Uint8Array, offset: number): void | Promise<void>;
  /**
   * After a fragment, and when the total is known: may append bytes of its own to the file, which need not come over
   * the wire. Returns the end of what is there, and the next bytes wanted if not all that follow.
   */
  fill(
    received: number,
    total: number,
  ): Promise<{ readonly received: number; readonly missing?: readonly [number, number] }>;
  /**
   * The file is complete and durable; from now on it belongs to the intake, which moves or deletes it.
   * @throws {BitsFault} when it is known to be no good; then the file is gone
   * @throws {Error} anything else when it could not be taken over: it still lies where it was, and Close may come again
   */
  close(total: number): Promise<void>;
  /** Cancelled, expired or dropped: the caller deletes the file. */
  discard(): void;
}
