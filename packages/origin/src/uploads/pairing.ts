import { fileKey } from "../serve/served-path.js";
import type { UploadTarget } from "./upload-intake.js";

/** What a closed upload turned out to be. */
export type UploadContent =
  /** One of our indexes, checked. `isOpaque`: of a pack that is not ours. */
  | { readonly type: "index"; readonly versionId: string; readonly isOpaque: boolean }
  /** One of our packs, by its header. */
  | { readonly type: "pack"; readonly versionId: string }
  | { readonly type: "foreign-index" }
  | { readonly type: "foreign-pack" };

/** A closed upload that waits for its other half. */
export interface WaitingUpload {
  readonly id: string;
  readonly user: string;
  readonly target: UploadTarget;
  readonly content: UploadContent;
  /** Unix ms. */
  readonly closedAt: number;
}

type PairingStep =
  | { readonly type: "publish"; readonly pack: string; readonly index: string | undefined }
  | { readonly type: "refuse"; readonly upload: string; readonly why: "superseded" | "mismatch" };

export interface Pairing {
  readonly steps: readonly PairingStep[];
  /** Unix ms when time alone will decide something. */
  readonly lookAgainAt: number | undefined;
}

/**
 * Decides what belongs together. Our packs name their index by its id, whoever uploaded it; foreign files belong
 * together when one user gave them the names of one pair. Nothing says whether a foreign pack has an index, nor
 * whether a half that does not fit is the wrong one: such a group waits until nothing of it is under way and
 * `settleMs` have passed; then the pack is published alone, or all of it is refused.
 * @param open uploads under way
 * @param now Unix ms
 */
export function pairUploads(
  waiting: readonly WaitingUpload[],
  open: readonly Pick<WaitingUpload, "user" | "target">[],
  now: number,
  settleMs: number,
): Pairing {
  const steps: PairingStep[] = [];
  const rest = withoutSuperseded(waiting, steps);
  const publish = (pack: WaitingUpload, index: WaitingUpload | undefined): void => {
    steps.push({ type: "publish", pack: pack.id, index: index?.id });
    rest.delete(pack);
    if (index !== undefined) rest.delete(index);
  };
  for (const pack of rest) {
    if (pack.target.kind !== "pack") continue;
    const index = bestIndex(pack, rest);
    if (index !== undefined) publish(pack, index);
  }
  const openGroups = new Set(open.map(groupOf));
  let lookAgainAt: number | undefined;
  for (const key of new Set([...rest].map(groupOf))) {
    const group = [...rest].filter((upload) => groupOf(upload) === key);
    const packs = group.filter(({ target }) => target.kind === "pack");
    const isMismatch = packs.length > 0 && packs.length < group.length;
    const isLone =
      packs.length === group.length && packs.some(({ content }) => content.type === "foreign-pack");
    if (openGroups.has(key) || (!isMismatch && !isLone)) continue;
    const isCertain = isMismatch && group.some(({ target }) => target.version !== undefined);
    const due = isCertain ? now : Math.max(...group.map(({ closedAt }) => closedAt)) + settleMs;
    if (now < due) {
      lookAgainAt = Math.min(lookAgainAt ?? due, due);
      continue;
    }
    for (const upload of group) {
      if (isMismatch) steps.push({ type: "refuse", upload: upload.id, why: "mismatch" });
      else if (upload.content.type === "foreign-pack") publish(upload, undefined);
    }
  }
  return { steps, lookAgainAt };
}

/** What the same user uploaded again counts once: the last time. */
function withoutSuperseded(waiting: readonly WaitingUpload[], steps: PairingStep[]): Set<WaitingUpload> {
  const newest = new Map<string, WaitingUpload>();
  for (const upload of waiting.toSorted((a, b) => a.closedAt - b.closedAt)) {
    const { content } = upload;
    const id = "versionId" in content ? content.versionId : "";
    const key = `${groupOf(upload)}\n${upload.target.kind}\n${content.type}\n${id}`;
    const before = newest.get(key);
    if (before !== undefined) steps.push({ type: "refuse", upload: before.id, why: "superseded" });
    newest.set(key, upload);
  }
  return new Set(newest.values());
}

function bestIndex(pack: WaitingUpload, among: ReadonlySet<WaitingUpload>): WaitingUpload | undefined {
  let best: WaitingUpload | undefined;
  for (const index of among) {
    if (index.target.kind !== "index" || !isFit(pack, index)) continue;
    if (best === undefined || index.user === pack.user) best = index;
  }
  return best;
}

function isFit(pack: WaitingUpload, index: WaitingUpload): boolean {
  if (pack.content.type === "pack") {
    return (
      index.content.type === "index" &&
      index.content.versionId === pack.content.versionId &&
      fileKey(index.target.image) === fileKey(pack.target.image)
    );
  }
  const isForForeign =
    index.content.type === "foreign-index" || (index.content.type === "index" && index.content.isOpaque);
  return isForForeign && groupOf(index) === groupOf(pack);
}

function groupOf({ user, target }: Pick<WaitingUpload, "user" | "target">): string {
  return `${user}\n${fileKey(target.image)}\n${target.version ?? ""}`;
}
