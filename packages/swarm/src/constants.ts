import { KIB, MIB } from "@ckmesh/core";

/** Every number that steers a swarm, in one place, each with its reason. Rules are those of the site swarm. */

/** Rule 1: a span ends after the row at which its bytes reach this. Long enough that a claim costs little. */
export const SPAN_BYTES = 2 * MIB;

/** Rule 2: farther peers are not of the site, unless they sit in an own subnet. */
export const MAX_SITE_RTT_MS = 10;
/** Rule 2: how long to look for peers before the first claim. */
export const SETTLE_MS = 2500;
/** The same while somebody whom the tracker has just named has not been heard: on a slow LAN links take seconds. */
export const SETTLE_LISTED_MS = 6000;

/** Rule 3: control links kept; above it, peers are refused. */
export const MAX_LINKS = 24;
/** Inbound links beyond MAX_LINKS that are still taken, so that newcomers to a full site find somebody. */
export const SPARE_LINKS = 8;
/** Rule 3: of the links of a full machine, those nearest in id order: six on either side. */
export const NEAR_LINKS = MAX_LINKS / 2;
/** Rule 3: a full machine dials a nearer peer at most this often: each new link costs two machines a handshake. */
export const NEAR_DIAL_MS = 5000;
/** Rule 3: and gives up its oldest random link this often, to meet somebody else. */
export const RANDOM_REFRESH_MS = 600_000;
/** Rule 3: a link that gives way to a nearer peer ends this much later: by then everybody knows that it will. */
export const LEAVE_MS = 2000;
/** Rule 3: and at most so many at a time, so that a machine has few links more than it may. */
export const MAX_LEAVING = 4;
/** Rule 3: links that rows are asked of, and links that are served, at a time. */
export const MAX_DATA_LINKS = 10;
/** Rule 3: whoever rows are asked of stays so for this long: its first answers tell how fast it is. */
export const SOURCE_MS = 1000;
/** Rule 3: while all of them are of use, the slowest gives way to another one this often. */
export const SOURCE_ROTATE_MS = 3000;
/** Rule 3: how far a claim is relayed. */
export const MAX_HOPS = 4;
/** Links a claim is relayed to: with this many random ones, whoever misses the first copy hears of it all the same. */
export const RELAY_FANOUT = 6;
/** Relays of a new claim where every link is known to hear it from its owner: they tell how long news takes. */
export const SPARE_RELAYS = 1;
/** Links change in bursts: peers are told of them this much later, all at once. */
export const NEIGHBOURS_MS = 500;
/** Rule 3: haves are gathered this long: one message per link and interval. */
export const HAVE_INTERVAL_MS = 250;
/** Rows that came from a peer with which the receiver is linked too are told after this, if it still lacks them. */
export const SECOND_HAND_MS = 1000;
/** Rows that the receiver holds itself are told after this: it needs them only to know how rare they are. */
export const KNOWN_HAVE_MS = 5000;
/** Rows a peer may name in its haves over a link's life, in copies of the version: it gains each once, or loses it. */
export const MAX_NAMED_COPIES = 8;
/** Runs in one have message; the rest goes with the next. */
export const MAX_HAVE_RUNS = 2000;
/**
 * Rule 3: claims taken per link and second; more are dropped. A WAN of 2 Gbit/s means 120 spans a second, each
 * claimed and finished.
 */
export const MAX_CLAIMS_PER_SECOND = 300;
/** More than this in a second is an attack. */
export const FLOOD_CLAIMS_PER_SECOND = 2 * MAX_CLAIMS_PER_SECOND;
/** A link to or from whoever claimed is kept for this long after the last word: its rows are known by its links first. */
export const CLAIM_ECHO_MS = 10_000;
/** A claim that was given up, is void, or whose rows are on offer is remembered this long: copies are under way. */
export const GONE_CLAIM_MS = 5000;
/** Claims are looked through for what time has made void at most this often. */
export const EXPIRE_MS = 200;

/**
 * Claims one peer may hold open: the one that moves and the next (rule 6: two), and up to two more where a span
 * takes less than the wait before a fetch, or a WAN of 1 Gbit/s and more would stand idle.
 */
export const MAX_OPEN_CLAIMS = 4;
/** Rule 6: claims that a peer opens where a span takes longer than that wait. */
export const OPEN_CLAIMS = 2;
/** Rule 6: a claim without progress is void after this, or after 4 gossip delays. */
export const CLAIM_VOID_MS = 3000;
/** Rule 6: a claimer whose rate is not known yet has this long: its first row may come over a very thin link. */
export const UNRATED_VOID_MS = 10_000;
/** Rule 6: and two rows at the claimed rate, but no longer than this, whatever rate is claimed. */
export const MAX_VOID_MS = 300_000;
/** Rule 6: own claims are repeated this often while their bytes move. */
export const CLAIM_PROGRESS_MS = 1000;
/** Rule 3: own claims are repeated this often when nothing moved. */
export const CLAIM_REPEAT_MS = 2000;
/** Rule 6: a finished claim that no connected peer's have covers is forgotten after this. */
export const DONE_CLAIM_MS = 30_000;
/** Rule 6: lower bound of the gossip delay. */
export const MIN_GOSSIP_MS = 50;
/** Rules 6, 8: claims (or promises) in a row that moved nothing before their owner may not make any, and for how long. */
export const MAX_VOID_CLAIMS = 3;
export const BAR_MS = 600_000;
/** Rule 6: time spent on claims that are given up again without a byte; as bad as one that is void. */
export const IDLE_CLAIM_MS = 5000;
/** A message of a claimer that is older than its messages of this long ago is a replay. */
export const EPOCH_GRACE_MS = 10_000;
/** A neighbour that says it has finished shows so within its next haves (every 250 ms); then they speak for it. */
export const NEIGHBOUR_DONE_MS = 3000;
/** A finished claim of a peer without a link to us is believed this long if nobody offers a byte of it. */
export const STRANGER_DONE_MS = 10_000;
/**
 * Claimers without a link to us of whose claims no have has borne out a byte: what one link may tell of, and
 * all together. Ids cost nothing to make, and four machines fetch at a time.
 */
export const MAX_STRANGERS_PER_LINK = 8;
export const MAX_STRANGERS = 32;
/** Claims in a row that a link was first to tell of and that were void: then it tells of no strangers for a while. */
export const MAX_VOIDS_PER_LINK = 8;
export const MUTE_MS = 60_000;
/** Messages that no honest peer sends (forged, out of its grid, beyond the limits) before the link is closed. */
export const MAX_OFFENCES = 16;
/** Rule 6: ids that one address may come with at a time. */
export const MAX_IDS_PER_ADDRESS = 2;
/** Rule 6: bytes a claim may show ahead of its owner's haves, which come every 250 ms. */
export const UNBACKED_BYTES = 512 * KIB;
/** Rule 13: how many times faster a machine must be to take a span over from a slow one. */
export const FASTER = 4;
/** Rule 13: and how long the slow machine would still take for its span. */
export const HEDGE_MS = 3000;
/** A measured WAN rate is forgotten after this: links change. */
export const RATE_MS = 120_000;
/** Claims remembered from all peers; above it the oldest go. */
export const MAX_CLAIMS = 4096;

/**
 * Rule 8: a promise of rows that come without the WAN is void when too few of them appear for this long. Who holds an
 * older version promises all frames until it knows which ones it can bring: it looks up a million in this time.
 */
export const PROMISE_MS = 15_000;
/** Rule 8: rows that must appear in that time, and as a part of the promise: none can be drawn out for ever. */
export const PROMISE_STEP_ROWS = 16;
export const PROMISE_PARTS = 64;
/**
 * Rule 8: a promise is said again so often while its owner is at work and few rows come of it. Three in `PROMISE_MS`: one
 * may be late on a full link.
 */
export const PROMISE_WORD_INTERVAL_MS = 5000;
/**
 * Rule 8: so long a promise that is said again stands without any row: two deltas of 16 MB on a line of 3 Mbit/s. Not
 * much longer, as anybody can say that he is at work; and a client with `--once` gives up after two minutes without a row.
 */
export const PROMISE_WORD_MS = 90_000;
/** Rule 8: and so long in all, for each promiser: without its word a promise stands for a quarter of an hour at most. */
export const PROMISE_WORDS_MS = 1_800_000;
/** Rule 8: own promises change at most this often. */
export const PROMISE_INTERVAL_MS = 250;
/** Rule 8: rows promised by so many others need no promise of ours: one may leave before it has kept its word. */
export const ENOUGH_PROMISERS = 2;
/** Promises held from all peers: each takes a bit per row. Above it, further ones are not heard. */
export const MAX_PROMISES = 32;
/** Promises taken per link and second; a newcomer is told all that hold at once. */
export const MAX_PROMISES_PER_SECOND = 40;

/** Rule 10: claims that move at once in the view. */
export const MAX_MOVING_CLAIMS = 4;
/** Rule 10: lines of a weekly timetable. */
export const MAX_TIMETABLE_LINES = 200;
/** Rule 10: a machine may use so many times what it last said it uses: it grows, and all others know how far. */
export const SHARE_GROWTH = 1.5;
/** Rule 10: but never less than this part of the budget, so that a slow start does not last. */
export const SMALLEST_SHARE = 16;
/** Rule 10: a paced request brings what the share sends in this time: a window of 5 s is then true to 5 %. */
export const PACED_RUN_MS = 250;
/** Rule 10: unused time that a paced client may make up for. */
export const PACED_BURST_MS = 100;
/** Rule 10: what headers of Ethernet, IP, TCP, TLS and HTTP add to the bytes of a file; a budget is that of the link. */
export const WIRE_OVERHEAD = 1.05;
/** Rule 10: with less than this for each of them, in bytes per second, fewer machines move: two frames a second. */
export const MIN_MOVER_SHARE = 128 * KIB;
/** Rule 10: a mover whose claims have ended keeps its share this long: its next claim may be on its way. */
export const MOVER_LINGER_MS = 1500;
/** Rule 10: the rate of the site is measured over this time. */
export const SITE_RATE_MS = 5000;
/** Rule 10: the best rate measured counts this long; then the next one measured at full speed takes its place. */
export const BEST_RATE_MS = 7 * 24 * 3_600_000;
/** Claims whose bytes are remembered to measure the site's rate. */
export const MAX_METERED_CLAIMS = 4096;

/** Rule 10, yielding: the least time to first byte is that of the last ten minutes, and so is the link's best rate. */
export const BASE_DELAY_MS = 600_000;
/** Yielding: queueing delay that is no sign of others. A busy machine takes some ms; a TCP flow keeps a queue of 20 ms and more. */
export const YIELD_TARGET_MS = 9;
/** Yielding: never less than a frame a second: fewer samples would not tell when the others have gone. */
export const MIN_YIELD_BYTES_PER_SEC = 64 * KIB;
/** Yielding: so many late samples in a row say that others use the link; a majority in time says that none does. */
export const YIELD_SAMPLES = 5;
/** Yielding: samples do not raise the base before this: a backup of an hour is no change of the line. */
export const MAX_HELD_MS = 3_600_000;
/** Yielding: time between two steps of the rate; a step has to show in the queue first. */
export const YIELD_STEP_MS = 250;
export const YIELD_DECREASE = 0.5;
export const YIELD_INCREASE = 1.5;
/** Yielding: part of the link's rate that is never given up: samples must go on, and so must the download. */
export const YIELD_FLOOR = 0.08;
/** Yielding: a run while yielding brings what the rate sends in this time. */
export const YIELD_RUN_MS = 100;
/** Yielding, a single mover that is free: a run takes this long at most, so that others are noticed. */
export const FREE_RUN_MS = 1000;
/** Yielding: this much of the link's time lies in the queue, so that it never runs dry. */
export const OWN_QUEUE_MS = 5;
/** Yielding: a mover of the site that gets this part of the link is always in its queue. */
export const HEAVY_PART = 0.25;
/** Yielding: what may come of another mover's run may come late by this factor. */
export const OWN_QUEUE_MARGIN = 1.2;
/** Yielding: first runs, before the link's rate is known. */
export const FIRST_RUN_BYTES = 256 * KIB;
/** Rules 5 and 10: with fewer measured machines than this one more may try: the first one may be the slow one. */
export const MIN_MEASURED = 2;

/** Rule 12: a client without a verified byte for this long stops waiting for claims and busy peers. */
export const PATIENCE_MS = 15_000;
/** Rule 12: or three void times of the claims in the view, but no longer than this. */
export const MAX_PATIENCE_MS = 120_000;
/** Rule 12: spread of that moment, so that a whole site does not lose patience at once. */
export const PATIENCE_JITTER_MS = 5000;

/** Requests that wait for so long mean that this machine cannot serve all who ask: slots are counted from then on. */
export const BACKLOG_MS = 500;
/** Rule 15: peers served at once, and how long one keeps its slot while others wait. */
export const UPLOAD_SLOTS = 4;
export const SLOT_MS = 1000;
/** A slot whose pieces are still on their way is not taken before this: on slow links a turn must carry something. */
export const BUSY_SLOT_MS = 5000;
/** What a turn must carry at least, unless it is as long as that. */
export const SLOT_BYTES = MIB;
/** Pieces read from disk at once for one peer: bounds memory at slots x this x 1 MiB. */
export const UPLOADS_PER_LINK = 2;
/** Requests a peer may have waiting here (the transport closes at its own, higher limit). */
export const MAX_QUEUED_REQUESTS = 64;

/** Requests asked of one peer and not yet answered: half of what it queues. */
export const MAX_ASKED = 32;
/** Rows that a peer offered and did not deliver do not count as offered for this long. */
export const DISTRUST_MS = 30_000;

/** Rule 15: bytes asked of one peer and not yet answered. */
export const MIN_WINDOW_BYTES = 1 * MIB;
/** With the request that passes it, no more than the 8 MiB that a peer lets wait. */
export const MAX_WINDOW_BYTES = 7 * MIB;
/** The window covers this much time at the measured rate: more than a LAN's latency and the answer's reading. */
export const WINDOW_MS = 200;
/** Longest request but to the fastest; shorter ones share a span among several sources. */
export const REQUEST_BYTES = 512 * KIB;
/** The most that the wire allows in one request, for peers that send it in this time: each answer costs the CPU. */
export const LONG_REQUEST_BYTES = 1 * MIB;
export const LONG_REQUEST_MS = 20;
/** Rule 4: no answer takes longer than this at the peer's rate, as control messages wait behind it. */
export const REQUEST_MS = 100;
/** An unanswered request is taken back after this, or four times what the peer's rate foretells. */
export const REQUEST_TIMEOUT_MS = 8000;
/** Requests a peer may let expire, or refuse though it offers the rows, before it is shut out for a while. */
export const MAX_TIMEOUTS = 3;
/** The same for a peer that never delivered anything. */
export const MAX_EMPTY_TIMEOUTS = 2;
export const MAX_REFUSALS = 64;
/** Times a peer may unchoke us, take requests and choke us again without a byte. */
export const MAX_EMPTY_TURNS = 5;
/** A turn without a byte says nothing about who sent rows so shortly before: it has more to serve than it can. */
export const EMPTY_TURN_MS = 10_000;
export const SHUT_OUT_MS = 600_000;
/** Endgame: a request this old may be sent to a second peer. */
export const ENDGAME_MS = 1500;
/** Interest outlives the last wanted row by this: haves come in batches, and slots should not flap. */
export const INTEREST_MS = 5000;
/** Links of which nothing changed are looked at this often: for requests that expire, the endgame, stale interest. */
export const LOOK_MS = 250;
/** Spans looked at for rows that none of the sources offers, per look and peer. */
export const ONLY_SAMPLE = 4;
/** Spans looked at for the rarest, per request. */
export const PICK_SAMPLE = 24;
/**
 * Spans are taken in the machine's own order within blocks of so many, the blocks one after the other: enough that
 * few choose the same, and the pack fills from its beginning on, so that its hash can follow.
 */
export const ORDER_BLOCK_SPANS = 16;
/** Spans looked at for the next claim, per step. */
export const CLAIM_SCAN = 4096;

/** Rule 15: bad rows before a peer is banned, and for how long: its key and its address. */
export const MAX_BAD_ROWS = 2;
export const BAN_KEY_MS = 24 * 3_600_000;
export const BAN_ADDRESS_MS = 3_600_000;
/** Bans remembered. */
export const MAX_BANS = 1024;

/** Dial policy. */
export const DIALS_PER_SECOND = 5;
export const MAX_PENDING_DIALS = 8;
export const DIAL_BACKOFF_MS = 2000;
export const MAX_DIAL_BACKOFF_MS = 600_000;
/** A link that ends sooner counts as a dial that failed: the peer is full, or does not want us. */
export const SHORT_LINK_MS = 10_000;
/** A fresh word from the tracker or the LAN that a peer is there cuts its back-off to this. */
export const FRESH_BACKOFF_MS = 10_000;
export const MAX_ADDRESSES = 1024;
export const MAX_NEW_ADDRESSES_PER_MINUTE = 50;
/** Peers named to another peer in one message, and how often. */
export const PEERS_PER_MESSAGE = 20;
export const PEERS_INTERVAL_MS = 60_000;
/** Peers that are near to another one in id order, and new to it, are named to it this often. */
export const NEAR_NEWS_MS = 5000;

/**
 * Rule 14: a claimer is believed this long that the origin told it to wait, until its bytes move again. Longer waits
 * hold all the same for whoever is told; the others ask the origin for themselves then.
 */
export const MAX_PAUSE_MS = 60_000;
/** Rule 14: spread of the moment at which those who were told to wait come back. */
export const PAUSE_JITTER_MS = 500;
/** Rule 14: back-off after a failed fetch at the origin, doubled up to the limit, jittered. */
export const FETCH_BACKOFF_MS = 1000;
export const MAX_FETCH_BACKOFF_MS = 60_000;

/** Origin fairness: when a transfer that was refused may come again, and the spread, so that not all come at once. */
export const RETRY_AFTER_MS = 2000;
export const RETRY_AFTER_SPREAD_MS = 4000;

/** Rule 8: how often it is looked at what peers of the previous version have: while all frames wait for them; later. */
export const DONOR_HOLD_LOOK_MS = 250;
export const DONOR_LOOK_MS = 1000;
/** Rule 8: longest time that all frames are held back from the WAN for a previous version of which nobody shows. */
export const DONOR_HOLD_MS = 10_000;
/**
 * Rule 8: when no common frame comes for this long, the WAN no longer waits for peers of the previous version, whatever
 * they offer: longer than a turn at one busy peer takes, shorter than the patience of a swarm.
 */
export const DONOR_STALL_MS = 8000;
/** Rule 8: how often a client without any version looks for peers with the previous one, and for their promises. */
export const UPDATE_LOOK_MS = 250;
/**
 * Rule 8: so long a client without any version holds frames back for peers that may update by a delta, once. They look
 * at the origin within a second of being told; on a thin line that the index fills, their requests wait. As long as a
 * promise may stand without rows.
 */
export const UPDATE_WAIT_MS = 15_000;
/** Word of a peer that there is a newer version leads to one look at the origin in this time. */
export const HINT_INTERVAL_MS = 60_000;
/** Looks in that time for all peers together: two that lie do not make the true word of a third unheard. */
export const HINT_LOOKS = 3;
/** Spread of that look: a whole site hears it at once. */
export const HINT_SPREAD_MS = 1000;
/** Rule 8: how often a client looks whether it needs a delta at all. */
export const DELTA_NEED_LOOK_MS = 250;
/** A delta is looked for so often while the origin cannot be asked, with such pauses; then plain frames have to do. */
export const DELTA_SEARCH_TRIES = 3;
export const DELTA_SEARCH_RETRY_MS = 5000;
/**
 * Rule 8: how long who has made all of a delta stays in its swarm: the others have to hear that it offers the frames
 * themselves. Eight intervals of haves.
 */
export const DELTA_LINGER_MS = 2000;
/**
 * Who cannot pack what a delta yields waits so long for somebody to fetch plain frames, if there are peers: cold machines
 * begin with them when they have waited for a promise (`UPDATE_WAIT_MS`), and come before or after it by as much.
 */
export const DELTA_PLAIN_WAIT_MS = 30_000;
/** And goes on to wait while somebody does: between two claims of one machine there is less than this. */
export const DELTA_PLAIN_GAP_MS = 3000;
/**
 * So long who cannot pack keeps a delta when its disk can be made: others like it, which look for the new version within
 * a poll, can have the delta of nobody else. A poll and five minutes.
 */
export const DELTA_UNPACKED_LINGER_MS = 1_200_000;
/**
 * A delta that the origin refuses for this long, while no row of it comes from peers either, was taken away. Longer than
 * a folder is away for a moment; while a client waits, the whole site does, which has its promise.
 */
export const DELTA_REFUSED_MS = 3000;
