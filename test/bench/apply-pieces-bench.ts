import { spawnSync } from "node:child_process";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";

/**
 * What applying a delta consists of, piece by piece on one thread, as CPU time per megabyte of new content; decoding
 * with the native binding is beside it for comparison. Frames of the base are decoded once here, while threads decode
 * those again that fell out of their caches. Needs a build (`pnpm build`), two versions packed with it, and their
 * delta.
 *
 *   npx tsx --conditions=ckmesh-src test/bench/apply-pieces-bench.ts BASE_INDEX TARGET_INDEX [--rounds 3]
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "3" } },
});

/** Runs in a process of its own, with the built packages. */
const WORK = `
const [packages, rounds, ...paths] = process.argv.slice(1);
const { readFileSync } = await import("node:fs");
const { createRequire } = await import("node:module");
const load = (path) => import(packages + path);
const { decodeAnyHead, DeltaRefs, FrameTable, HEAD_BYTES } = await load("image/dist/index.js");
const { sha256 } = await load("core/dist/index.js");
const { createCodec } = await load("store/dist/pack/codec.js");
const { FrameDecoder } = await load("store/dist/pack/frame-decoder.js");
const { DictionaryArea, ZstdWasm } = await load("store/dist/pack/zstd-wasm.js");
const { Decoder } = createRequire(packages + "store/dist/index.js")("@toondepauw/node-zstd");
const [base, target, delta] = paths.map((path) => {
  const index = readFileSync(path);
  const { head } = decodeAnyHead(index.subarray(0, HEAD_BYTES)).signed;
  const section = (name) => {
    const { offset, length } = head.sections.find(({ kind }) => kind === name);
    return index.subarray(offset, offset + length);
  };
  const frames = FrameTable.decode(section("frames"), head);
  const pack = readFileSync(path.slice(0, -".index".length));
  return { head, frames, section, packed: (frame) => pack.subarray(frames.offset(frame), frames.offset(frame + 1)) };
});
const refs = new DeltaRefs(delta.section("refs"), delta.frames.count);
const ks = Array.from({ length: delta.frames.count }, (_, k) => k);
const rawLength = (k) => target.frames.rawLength(refs.targetFrame(k));
const raw = ks.reduce((sum, k) => sum + rawLength(k), 0);
const needed = new Set();
for (const k of ks)
  for (const { first, count } of refs.runs(k))
    for (let frame = base.frames.frameOf(first); frame <= base.frames.frameOf(first + count - 1); frame += 1)
      needed.add(frame);
const used = [...needed].sort((a, b) => a - b);
const decoder = await FrameDecoder.create();
const area = new DictionaryArea(await ZstdWasm.load());
const native = new Decoder();
const codec = createCodec(target.head.codecs.at(-1).level);
const slab = new Uint8Array(used.length * 65536);
const place = new Map(used.map((frame, i) => [frame, i * 65536]));
const dictionary = new Uint8Array(8 + 32 * 4096);
const dictionaryOf = (k) => {
  let at = 8;
  for (const { first, count } of refs.runs(k))
    for (let sector = first; sector < first + count; at += 4096, sector += 1) {
      const frame = base.frames.frameOf(sector);
      const start = place.get(frame) + (sector - base.frames.firstSector(frame)) * 4096;
      dictionary.set(slab.subarray(start, start + 4096), at);
    }
  return dictionary.subarray(0, at);
};
const raws = [];
const packed = [];
const pieces = {
  "hash packed frames of the base": () => used.forEach((frame) => sha256(base.packed(frame))),
  "decode them, native": () => used.forEach((frame) => {
    const bytes = base.packed(frame);
    if (bytes.length < base.frames.rawLength(frame)) native.decodeSync(bytes);
  }),
  "decode them": () => used.forEach((frame) => decoder.unpack(base.packed(frame), base.frames.rawLength(frame))),
  "decode and keep them": () => used.forEach((frame) =>
    slab.set(decoder.unpack(base.packed(frame), base.frames.rawLength(frame)), place.get(frame))),
  "make dictionaries": () => ks.forEach(dictionaryOf),
  "hash frames of the delta": () => ks.forEach((k) => sha256(delta.packed(k))),
  "make dictionaries and decode with them": () => ks.forEach((k) => decoder.unpack(delta.packed(k), rawLength(k), area.fill(dictionaryOf(k)))),
  "the same, and keep the frames": () => ks.forEach((k) => {
    raws[k] = Buffer.from(decoder.unpack(delta.packed(k), rawLength(k), area.fill(dictionaryOf(k))));
  }),
  "pack them again": () => ks.forEach((k) => { packed[k] = codec.pack(raws[k]); }),
  "hash what they are packed into": () => ks.forEach((k) => sha256(packed[k])),
};
const spent = Object.fromEntries(Object.keys(pieces).map((name) => [name, []]));
for (let round = 0; round < Number(rounds); round += 1)
  for (const [name, run] of Object.entries(pieces)) {
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    spent[name].push((user + system) / 1000 / (raw / 1e6));
  }
process.stdout.write(JSON.stringify({ raw, frames: ks.length, baseBytes: used.reduce((sum, frame) => sum + base.frames.rawLength(frame), 0), spent }));
`;

interface Measured {
  /** Bytes that the delta yields. */
  readonly raw: number;
  readonly frames: number;
  /** Decoded bytes of the frames of the base that are referred to. */
  readonly baseBytes: number;
  /** Milliseconds per megabyte of `raw`, by piece and round. */
  readonly spent: Readonly<Record<string, readonly number[]>>;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

const [base, target] = positionals;
if (base === undefined || target === undefined) throw new Error("two indexes are needed: base and target");
const version = /_([0-9]+)\.ckm\.index$/;
const delta = join(
  dirname(target),
  basename(target).replace(version, `_$1.from_${version.exec(base)?.[1] ?? "?"}.ckm.index`),
);
const packages = new URL("../../packages/", import.meta.url).href;
const args = ["--input-type=module", "-e", WORK, packages, values.rounds, base, target, delta];
const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
if (status !== 0) throw new Error(stderr);
const measured: Measured = JSON.parse(stdout);
process.stdout.write(
  `${measured.frames} frames, ${(measured.raw / 1e6).toFixed(1)} MB; ` +
    `${(measured.baseBytes / measured.raw).toFixed(2)} x as much of the base to decode\n`,
);
for (const [name, rounds] of Object.entries(measured.spent))
  process.stdout.write(`${median(rounds).toFixed(2).padStart(7)} ms of CPU per MB: ${name}\n`);
