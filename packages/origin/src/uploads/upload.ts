import type { Identity } from "@ckmesh/auth";
import type { VerifiedIndex } from "../publish/verify-pair.js";
import type { PackFollower } from "./pack-follower.js";
import type { UploadContent } from "./pairing.js";
import type { UploadTarget } from "./upload-intake.js";
import type { UploadEnd } from "./upload-record.js";

/**
 * receiving (its session is open) → checking (what is it) → waiting (for its other half, or to be tried again)
 * → checking (with its other half) → published | refused.
 */
type UploadState = "receiving" | "waiting" | "checking" | UploadEnd["state"];

/** One uploaded file, from its session to some time after its end. */
export interface Upload {
  /** Of the session. */
  readonly id: string;
  readonly user: Identity;
  readonly target: UploadTarget;
  /** Of the data file; the session's until it is closed. */
  path: string;
  received: number;
  total: number | undefined;
  state: UploadState;
  /** Unix ms; undefined while it is open. */
  closedAt: number | undefined;
  /** Known once it was looked at after its Close. */
  content: UploadContent | undefined;
  /** With content `index`. */
  index: VerifiedIndex | undefined;
  /** Of a pack whose index is here. */
  follower: PackFollower | undefined;
  /** Why it waits, when it is not for its other half. */
  trouble: string | undefined;
  /** Times that something else than the file was in the way. */
  failures: number;
  /** Unix ms before which it is not tried again. */
  retryAt: number;
  end: UploadEnd | undefined;
}

export function newUpload(
  facts: Pick<Upload, "id" | "user" | "target" | "path" | "received" | "total">,
): Upload {
  return {
    ...facts,
    state: "receiving",
    closedAt: undefined,
    content: undefined,
    index: undefined,
    follower: undefined,
    trouble: undefined,
    failures: 0,
    retryAt: 0,
    end: undefined,
  };
}

/** For its other half. */
export function wait(upload: Upload): void {
  upload.state = "waiting";
  upload.trouble = undefined;
}

/** Upper and lower case are one user, as in rights. */
export function userKey({ name }: Identity): string {
  return name.normalize("NFC").toLowerCase();
}

export function isSameUser(a: Identity, b: Identity): boolean {
  return userKey(a) === userKey(b);
}
