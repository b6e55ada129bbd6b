import { sessionKey } from "@ckmesh/bits";

const PREFIX = "bits-reply-";

/** Under which name of the virtual directory a client fetches what a program answered to its upload. */
export function replyName(sessionId: string): string {
  return PREFIX + sessionId;
}

/** The session of such a name; undefined for any other name. @param key of `fileKey` */
export function replyId(key: string): string | undefined {
  return key.startsWith(PREFIX) ? sessionKey(key.slice(PREFIX.length)) : undefined;
}
