/** Systems that can be compared, and the arguments that make each say its version. */
export const RIVALS = {
  curl: ["curl", "--version"],
  transmission: ["transmission-daemon", "--version"],
  aria2c: ["aria2c", "--version"],
  libtorrent: ["/usr/bin/python3", "-c", "import libtorrent; print('libtorrent', libtorrent.__version__)"],
} as const;
export type Rival = keyof typeof RIVALS;

const SWARMS: readonly Rival[] = ["transmission", "aria2c", "libtorrent"];
const ALL: readonly Rival[] = ["curl", ...SWARMS];

/** What must be reached (issue 3). */
interface Bar {
  /** Copies on the wire. */
  readonly copies: number;
  /** Slowest client over the bound; absent: it only has to complete. */
  readonly time?: number;
  /** In place of `time`: seconds beyond the median of another case. */
  readonly beyond?: { readonly case: string; readonly seconds: number };
}

export type Fault = "killfetcher" | "killtracker" | "wancut";

export interface BenchCase {
  readonly name: string;
  readonly what: string;
  readonly kind: "cold" | "late" | "update" | "deltaupdate";
  readonly clients: number;
  readonly wanMbit: number;
  /** Size of the disk of the bars. */
  readonly mib: number;
  readonly hasTracker?: false;
  readonly fault?: Fault;
  readonly bar?: Bar;
  /** For whom the case means something. */
  readonly rivals: readonly Rival[];
}

const WAN = { wanMbit: 50, mib: 256 } as const;
const FAULT_BAR = { copies: 1.12 } as const;

export const CASES: readonly BenchCase[] = [
  { name: "cold4", what: "4 clients, cold", kind: "cold", clients: 4, ...WAN, rivals: ALL },
  {
    name: "cold10",
    what: "10 clients, cold",
    kind: "cold",
    clients: 10,
    ...WAN,
    bar: { copies: 1.08, time: 1.15 },
    rivals: ALL,
  },
  {
    name: "cold20",
    what: "20 clients, cold, 20 Mbit/s",
    kind: "cold",
    clients: 20,
    wanMbit: 20,
    mib: 128,
    bar: { copies: 1.1, time: 1.2 },
    rivals: ALL,
  },
  {
    name: "late",
    what: "late joiner, 4 have it (time over size / 1 Gbit/s)",
    kind: "late",
    clients: 5,
    ...WAN,
    bar: { copies: 0.01, time: 3 },
    rivals: ALL,
  },
  {
    name: "update",
    what: "10 clients, v1 to v2, 5 % changed (over the changed bytes)",
    kind: "update",
    clients: 10,
    ...WAN,
    rivals: ALL,
  },
  {
    name: "deltaupdate",
    what: "10 clients, v1 to v2 by a delta, 20 Mbit/s (over delta pair, missing index and frames outside it)",
    kind: "deltaupdate",
    clients: 10,
    wanMbit: 20,
    mib: 256,
    rivals: [],
  },
  {
    name: "notracker",
    what: "10 clients, cold, no tracker",
    kind: "cold",
    clients: 10,
    ...WAN,
    hasTracker: false,
    bar: { copies: 1.08, beyond: { case: "cold10", seconds: 3 } },
    rivals: SWARMS,
  },
  {
    name: "killfetcher",
    what: "10 clients, the one that fetched most is killed at 50 %",
    kind: "cold",
    clients: 10,
    ...WAN,
    fault: "killfetcher",
    bar: FAULT_BAR,
    rivals: SWARMS,
  },
  {
    name: "killtracker",
    what: "10 clients, tracker killed at 25 %",
    kind: "cold",
    clients: 10,
    ...WAN,
    fault: "killtracker",
    bar: FAULT_BAR,
    rivals: SWARMS,
  },
  {
    name: "wancut",
    what: "10 clients, WAN cut for 15 s at 40 %",
    kind: "cold",
    clients: 10,
    ...WAN,
    fault: "wancut",
    bar: FAULT_BAR,
    rivals: ALL,
  },
];

/** Share of the disk in whose blocks an update by a delta changes something. */
export const EDITED_SHARE = 0.5;
/** Share of the disk that an update changes. */
export const CHANGED_SHARE = 0.05;
/** How long a cut lasts, and at which share (0 to 1) of all bytes each fault comes; swarm_bench.py has the same. */
export const CUT_MS = 15_000;
export const FAULT_AT: Readonly<Record<Fault, number>> = { killfetcher: 0.5, killtracker: 0.25, wancut: 0.4 };

/** Mbit/s of a client's port: what a late joiner is compared with. */
export const LAN_MBIT = 1000;
