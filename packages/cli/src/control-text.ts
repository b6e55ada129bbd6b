import { type ControlRecord, type Ring, rolloutOf, withdrawalOf } from "@ckmesh/image";

/** What a control record says of a version's withdrawal, for people; empty when nothing. */
export function withdrawalText(control: ControlRecord | undefined, version: number): string {
  const withdrawal = control === undefined ? undefined : withdrawalOf(control, version);
  if (withdrawal === undefined) return "";
  const { backTo, reason } = withdrawal;
  return `withdrawn${backTo === undefined ? "" : `, back to ${backTo}`}${reason === undefined ? "" : ` (${reason})`}`;
}

/** Who may have a version by its rollout, for people; empty: everybody at once. */
export function rolloutText(control: ControlRecord | undefined, version: number): string {
  const rollout = control === undefined ? undefined : rolloutOf(control, version);
  if (rollout === undefined) return "";
  const { rings, approved, isHeld, failureLimit, prefetchAt, activateAt } = rollout;
  const open = rings.slice(0, approved + 1).map(ringText);
  return [
    isHeld ? "held" : "",
    approved >= rings.length ? "" : `ring ${approved + 1} of ${rings.length}: ${open.join(" and ")}`,
    failureLimit === undefined
      ? ""
      : `held by itself above ${failureLimit.percent}% failures of ${failureLimit.minReports} reports`,
    prefetchAt === undefined ? "" : `fetched from ${timeText(prefetchAt)}`,
    activateAt === undefined ? "" : `active from ${timeText(activateAt)}`,
  ]
    .filter((part) => part !== "")
    .join(", ");
}

function ringText({ percent, groups = [] }: Ring): string {
  return [...(percent === undefined ? [] : [`${percent}%`]), ...groups].join(" + ");
}

/** @param seconds Unix */
function timeText(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
