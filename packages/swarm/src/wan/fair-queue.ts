import type { Random } from "@ckmesh/core";
import { RETRY_AFTER_MS, RETRY_AFTER_SPREAD_MS } from "../constants.js";

/** A transfer that asks for a place, numbered by the driver; never reused. */
export type TransferId = number;

/** Where a request comes from, as far as the origin knows. */
export interface TransferPlace {
  /** Site of the administrator's address map: beats everything else. */
  readonly mapped?: string;
  /** What the client says of itself. Unproven: it may join addresses into one site, never split one. */
  readonly label?: string;
  /** The network that the address stands for where nobody knows better: a site by itself. */
  readonly group: string;
  /** The one machine (or translator) within the site. */
  readonly address: string;
}

export interface FairQueueLimits {
  /** Transfers that run at a time, all sites together. */
  readonly maxTransfers: number;
  /** Transfers of one site that may wait. */
  readonly maxWaiting: number;
  /** Longest wait, ms. */
  readonly maxWaitMs: number;
}

/** What the driver tells the queue. */
export type FairQueueEvent =
  | { readonly type: "arrive"; readonly transfer: TransferId; readonly place: TransferPlace }
  /** The transfer has ended, or its client went away while it waited. Unknown ones are ignored. */
  | { readonly type: "leave"; readonly transfer: TransferId }
  | { readonly type: "tick" };

/** `site`: the site uses its share already (429) · `full`: the origin has no place for anybody (503). */
export type RefusalReason = "site" | "full";

/** The answer to each `arrive`, now or later: exactly one, unless the transfer left before. */
export type FairQueueEffect =
  | { readonly type: "admit"; readonly transfer: TransferId }
  | {
      readonly type: "refuse";
      readonly transfer: TransferId;
      readonly reason: RefusalReason;
      /** When to come back, with jitter. */
      readonly retryMs: number;
    };

interface Site {
  readonly key: string;
  active: number;
  /** Active transfers by address. */
  readonly addresses: Map<string, number>;
  /** In the order of arrival. */
  readonly waiting: Transfer[];
  /** When it was given a place last, as a count of admissions. */
  servedAt: number;
}

interface Transfer {
  readonly id: TransferId;
  readonly site: Site;
  readonly place: TransferPlace;
  /** When it was taken into the queue; undefined once it runs. */
  since: number | undefined;
}

/** Which site an address group counts for, while it has anything here. */
interface Binding {
  readonly site: string;
  count: number;
}

const NOTHING: readonly FairQueueEffect[] = [];

/**
 * Shares an origin's transfers among sites. A transfer arrives, runs at once or waits, and leaves; it is refused
 * when its site's queue is full or the wait was too long.
 *
 * No transfer is ever interrupted, so a place taken is a place gone for long. Hence a site may hold only as many
 * places as are still free, and an address of it as many as its site could still take: one greedy site ends at
 * half of all places, k of them leave one share of k + 1 for newcomers (dynamic thresholds, Choudhury and Hahne,
 * 1998). A place that becomes free goes to the waiting site that holds fewest, then to the one that waited longest
 * for its turn.
 */
export class FairQueue {
  readonly #limits: FairQueueLimits;
  readonly #random: Random;
  readonly #transfers = new Map<TransferId, Transfer>();
  readonly #sites = new Map<string, Site>();
  /** Sites in whose queue somebody waits. */
  readonly #waitingSites = new Set<Site>();
  readonly #bindings = new Map<string, Binding>();
  #active = 0;
  #waiting = 0;
  #admissions = 0;

  constructor(limits: FairQueueLimits, random: Random) {
    this.#limits = limits;
    this.#random = random;
  }

  get active(): number {
    return this.#active;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** When the longest wait ends, ms; undefined: nobody waits. */
  deadline(): number | undefined {
    let since = Number.POSITIVE_INFINITY;
    for (const { waiting } of this.#waitingSites) since = Math.min(since, waiting[0]?.since ?? since);
    return Number.isFinite(since) ? since + this.#limits.maxWaitMs : undefined;
  }

  step(event: FairQueueEvent, now: number): readonly FairQueueEffect[] {
    switch (event.type) {
      case "arrive":
        return this.#arrive(event.transfer, event.place, now);
      case "leave":
        return this.#leave(event.transfer);
      case "tick":
        return this.#expire(now);
    }
  }

  #arrive(id: TransferId, place: TransferPlace, now: number): readonly FairQueueEffect[] {
    const site = this.#bind(place);
    const transfer: Transfer = { id, site, place, since: undefined };
    this.#transfers.set(id, transfer);
    if (this.#mayRun(transfer)) return [this.#admit(transfer)];
    transfer.since = now;
    const victim = site.waiting.length < this.#limits.maxWaiting ? undefined : this.#victim(transfer);
    if (victim === transfer) return [this.#refuse(transfer)];
    const effects = victim === undefined ? NOTHING : [this.#refuse(victim)];
    site.waiting.push(transfer);
    this.#waitingSites.add(site);
    this.#waiting += 1;
    return effects;
  }

  #leave(id: TransferId): readonly FairQueueEffect[] {
    const transfer = this.#transfers.get(id);
    if (transfer === undefined) return NOTHING;
    const { site, place } = transfer;
    if (transfer.since === undefined) {
      this.#active -= 1;
      site.active -= 1;
      const others = (site.addresses.get(place.address) ?? 1) - 1;
      if (others === 0) site.addresses.delete(place.address);
      else site.addresses.set(place.address, others);
    } else this.#unqueue(transfer);
    this.#forget(transfer);
    return this.#fill();
  }

  #expire(now: number): readonly FairQueueEffect[] {
    const effects: FairQueueEffect[] = [];
    for (const site of this.#waitingSites) {
      const late = site.waiting.filter(({ since = now }) => now - since >= this.#limits.maxWaitMs);
      for (const transfer of late) effects.push(this.#refuse(transfer));
    }
    return effects;
  }

  /** Gives free places to those who wait. */
  #fill(): readonly FairQueueEffect[] {
    if (this.#waitingSites.size === 0) return NOTHING;
    const effects: FairQueueEffect[] = [];
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      this.#unqueue(next);
      effects.push(this.#admit(next));
    }
    return effects;
  }

  #next(): Transfer | undefined {
    let best: Transfer | undefined;
    for (const site of this.#waitingSites) {
      if (best !== undefined && !isBefore(site, best.site)) continue;
      best = this.#nextOf(site) ?? best;
    }
    return best;
  }

  /** Of a site, the transfer whose address holds fewest places; the oldest of these. */
  #nextOf(site: Site): Transfer | undefined {
    let best: Transfer | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const transfer of site.waiting) {
      const held = site.addresses.get(transfer.place.address) ?? 0;
      if (held >= least || !this.#mayRun(transfer)) continue;
      [best, least] = [transfer, held];
    }
    return best;
  }

  #mayRun({ site, place }: Transfer): boolean {
    const free = this.#limits.maxTransfers - this.#active;
    const held = site.addresses.get(place.address) ?? 0;
    return site.active < free && (held === 0 || held < free - site.active);
  }

  #admit(transfer: Transfer): FairQueueEffect {
    const { site, place, id } = transfer;
    transfer.since = undefined;
    this.#active += 1;
    this.#admissions += 1;
    site.active += 1;
    site.servedAt = this.#admissions;
    site.addresses.set(place.address, (site.addresses.get(place.address) ?? 0) + 1);
    return { type: "admit", transfer: id };
  }

  /** Who has to go from a full queue: the newest of the address that has most in it, or the newcomer. */
  #victim(newcomer: Transfer): Transfer {
    const counts = new Map<string, number>([[newcomer.place.address, 1]]);
    for (const { place } of newcomer.site.waiting)
      counts.set(place.address, (counts.get(place.address) ?? 0) + 1);
    const most = Math.max(...counts.values());
    if (counts.get(newcomer.place.address) === most) return newcomer;
    return newcomer.site.waiting.findLast(({ place }) => counts.get(place.address) === most) ?? newcomer;
  }

  #refuse(transfer: Transfer): FairQueueEffect {
    const { site, id } = transfer;
    const isOverShare =
      this.#active < this.#limits.maxTransfers || site.active * this.#sites.size >= this.#limits.maxTransfers;
    if (site.waiting.includes(transfer)) this.#unqueue(transfer);
    this.#forget(transfer);
    const retryMs = RETRY_AFTER_MS + this.#random.next() * RETRY_AFTER_SPREAD_MS;
    return { type: "refuse", transfer: id, reason: isOverShare ? "site" : "full", retryMs };
  }

  #unqueue({ site, id }: Transfer): void {
    site.waiting.splice(
      site.waiting.findIndex((other) => other.id === id),
      1,
    );
    this.#waiting -= 1;
    if (site.waiting.length === 0) this.#waitingSites.delete(site);
  }

  /** The site that a place counts for. A group keeps to one site while it has anything here: labels are cheap. */
  #bind({ mapped, label, group }: TransferPlace): Site {
    let key: string;
    if (mapped !== undefined) key = `map ${mapped}`;
    else {
      const binding = this.#bindings.get(group) ?? {
        site: label === undefined ? `network ${group}` : `label ${label}`,
        count: 0,
      };
      binding.count += 1;
      this.#bindings.set(group, binding);
      key = binding.site;
    }
    const site = this.#sites.get(key) ?? { key, active: 0, addresses: new Map(), waiting: [], servedAt: 0 };
    this.#sites.set(key, site);
    return site;
  }

  #forget({ id, site, place }: Transfer): void {
    this.#transfers.delete(id);
    if (site.active === 0 && site.waiting.length === 0) this.#sites.delete(site.key);
    const binding = place.mapped === undefined ? this.#bindings.get(place.group) : undefined;
    if (binding === undefined) return;
    binding.count -= 1;
    if (binding.count === 0) this.#bindings.delete(place.group);
  }
}

/** Fewer places held, then the longest since the last one. */
function isBefore(a: Site, b: Site): boolean {
  return a.active < b.active || (a.active === b.active && a.servedAt < b.servedAt);
}
