import { AppError } from "@ckmesh/core";
import {
  type ControlRecord,
  isRolloutOver,
  nextControlSerial,
  type Rollout,
  rolloutOf,
  type Withdrawal,
} from "@ckmesh/image";

type RolloutSettings = Omit<Rollout, "version" | "since">;

/** An order about one version: what it changes in the control record of its image. */
export type ControlOrder =
  | {
      readonly type: "withdraw";
      readonly version: number;
      readonly reason?: string;
      /** The last good version. */
      readonly backTo?: number;
    }
  | { readonly type: "restore"; readonly version: number }
  /** Starts a rollout anew: no ring is approved. */
  | {
      readonly type: "ring";
      readonly version: number;
      readonly rings: Rollout["rings"];
      readonly failureLimit?: Rollout["failureLimit"];
    }
  /** The next ring may have it; `isAll`: everybody. */
  | { readonly type: "approve"; readonly version: number; readonly isAll: boolean }
  | {
      readonly type: "activate";
      readonly version: number;
      /** Unix seconds; absent: at once. */
      readonly activateAt?: number;
      readonly prefetchAt?: number;
    }
  | { readonly type: "hold"; readonly version: number }
  | { readonly type: "release"; readonly version: number };

/** What holds for a version without an entry. */
const FREE: RolloutSettings = { rings: [], approved: 0, isHeld: false };

/**
 * The record that follows `record` when an order is carried out.
 * @param nowSeconds Unix seconds
 * @throws {AppError} ERR_USAGE when the order makes no sense with this record
 */
export function applyOrder(record: ControlRecord, order: ControlOrder, nowSeconds: number): ControlRecord {
  const serial = nextControlSerial(record.serial, nowSeconds);
  const next = { ...record, serial, createdAt: Math.floor(nowSeconds) };
  switch (order.type) {
    case "withdraw":
      return { ...next, withdrawn: withWithdrawal(record, order) };
    case "restore":
      return { ...next, withdrawn: withoutWithdrawal(record, order.version) };
    case "ring":
    case "approve":
    case "activate":
    case "hold":
    case "release":
      return { ...next, rollouts: withRollout(next, order.version, changed(record, order)) };
  }
}

function withWithdrawal(
  record: ControlRecord,
  { version, reason, backTo }: Extract<ControlOrder, { type: "withdraw" }>,
): readonly Withdrawal[] {
  const withdrawal = {
    version,
    ...(reason !== undefined && { reason }),
    ...(backTo !== undefined && { backTo }),
  };
  return inOrder([...record.withdrawn.filter((other) => other.version !== version), withdrawal]);
}

function withoutWithdrawal(record: ControlRecord, version: number): readonly Withdrawal[] {
  const left = record.withdrawn.filter((withdrawal) => withdrawal.version !== version);
  if (left.length === record.withdrawn.length) throw usage(`version ${version} is not withdrawn`);
  return left;
}

function changed(
  record: ControlRecord,
  order: Exclude<ControlOrder, { type: "withdraw" | "restore" }>,
): RolloutSettings {
  const before: RolloutSettings = rolloutOf(record, order.version) ?? FREE;
  switch (order.type) {
    case "ring": {
      const { failureLimit: _old, ...kept } = before;
      const { rings, failureLimit } = order;
      return { ...kept, rings, approved: 0, ...(failureLimit !== undefined && { failureLimit }) };
    }
    case "approve": {
      const { rings, approved } = before;
      if (approved >= rings.length) throw usage(`version ${order.version} is for everybody already`);
      return { ...before, approved: order.isAll ? rings.length : approved + 1 };
    }
    case "activate": {
      const { activateAt: _at, prefetchAt: _from, ...kept } = before;
      const { activateAt, prefetchAt } = order;
      return {
        ...kept,
        ...(activateAt !== undefined && { activateAt }),
        ...(prefetchAt !== undefined && { prefetchAt }),
      };
    }
    case "hold":
      return { ...before, isHeld: true };
    case "release":
      return { ...before, isHeld: false };
  }
}

/**
 * The version's own entry stays also when it holds nothing back any more: its `since` ends a hold of the origin's own.
 * Those of older versions go then, so that there is always room for the next.
 */
function withRollout(
  { rollouts, serial, createdAt }: ControlRecord,
  version: number,
  settings: RolloutSettings,
): readonly Rollout[] {
  const others = rollouts.filter(
    (other) => other.version > version || (other.version < version && !isRolloutOver(other, createdAt)),
  );
  return inOrder([...others, { ...settings, version, since: serial }]);
}

function inOrder<T extends { readonly version: number }>(list: readonly T[]): readonly T[] {
  return list.toSorted((a, b) => a.version - b.version);
}

function usage(problem: string): AppError {
  return new AppError("ERR_USAGE", problem);
}
