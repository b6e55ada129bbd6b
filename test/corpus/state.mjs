// state.mjs ROOT V SCALE_MIB: writes the mutable part of a machine, the same every run. Each version
// after the first has logs rotated or appended, 2 % of the cells of hive-like binary stores rewritten
// and 3 % appended, half of the pages of a page file rewritten, and of the user documents, which do
// not compress, one removed and two new.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const [root, v, scale] = [process.argv[2], +process.argv[3], +process.argv[4]];
function prng(seed) {
  // xorshift32
  let x = (seed * 2654435761) >>> 0 || 1;
  return () => {
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x;
  };
}
const noise = (n, seed) => {
  const r = prng(seed),
    b = Buffer.alloc(n & ~3);
  for (let i = 0; i + 4 <= n; i += 4) b.writeUInt32LE(r(), i);
  return b;
};
const put = (p, data) => {
  const f = join(root, p);
  mkdirSync(dirname(f), { recursive: true });
  writeFileSync(f, data);
};
const WORDS =
  "kernel session started stopped unit service user root login accepted denied device eth0 link up down renew lease cron job finished error warning timeout retry".split(
    " ",
  );
function log(n, seed) {
  const r = prng(seed);
  let s = "",
    t = 1767225600 + seed;
  while (s.length < n) {
    t += r() % 90;
    let l = new Date(t * 1000).toISOString() + ` vm app[${r() % 32768}]:`;
    for (let i = 3 + (r() % 9); i; i--) l += " " + WORDS[r() % WORDS.length];
    s += l + " 0x" + r().toString(16) + "\n";
  }
  return s;
}
function cells(n, seed, edits) {
  // half structured, half dense
  const b = Buffer.alloc(n * 4096);
  const r = prng(seed);
  const e = Array.from({ length: edits }, (_, k) => prng(seed + 77 + k * 1009));
  for (let c = 0; c < n; c++) {
    const last = e.map((next) => next() % 50 === 0).lastIndexOf(true),
      changed = last !== -1,
      rr = changed ? prng(seed ^ (c * 7919 + 13 + last * 104729)) : r;
    if (changed) for (let k = 0; k < 64; k++) r();
    b.write("hbin", c * 4096);
    b.writeUInt32LE(c, c * 4096 + 4);
    for (let k = 0; k < 64; k++) {
      const o = c * 4096 + 16 + k * 60;
      b.write("nk\u0020Value" + (rr() % 4096), o);
      b.writeUInt32LE(0, o + 24);
      b.writeUInt32LE(rr(), o + 32);
    }
  }
  return b;
}
const unit = scale / 64; // 1 for small
const K = 1024;
for (let i = 0; i < 4; i++) {
  const size = Math.round(200 * K * unit);
  if (v === 1) {
    put(`var/log/app${i}.log`, log(size, 100 + i));
    put(`var/log/app${i}.log.1`, log(size, 90 + i));
  } else if (i < 2) {
    const more = Array.from({ length: v - 1 }, (_, k) => log(size >> 2, 100 * (k + 2) + i));
    put(`var/log/app${i}.log`, log(size, 100 + i) + more.join(""));
    put(`var/log/app${i}.log.1`, log(size, 90 + i));
  } else {
    put(`var/log/app${i}.log`, log(size >> 1, 100 * v + i));
    put(`var/log/app${i}.log.1`, log(v === 2 ? size : size >> 1, 100 * (v - 1) + i));
  }
}
for (let i = 0; i < 3; i++) {
  const n = Math.round(160 * unit),
    more = Math.max(1, Math.round(n * 0.03));
  const added = Array.from({ length: v - 1 }, (_, k) => cells(more, 400 + 100 * k + i, 0));
  put(`var/lib/state/hive${i}`, Buffer.concat([cells(n, 300 + i, v - 1), ...added]));
}
{
  const n = Math.round(256 * unit),
    r = prng(9),
    later = Array.from({ length: Math.max(0, v - 2) }, (_, k) => prng(1009 * (k + 3))),
    out = [];
  for (let i = 0; i < n; i++) {
    const keep = r() & 1,
      dense = r() & 1;
    // The version that wrote the page last.
    let by = v > 1 && !keep ? 2 : 1;
    for (const [k, next] of later.entries()) if (next() & 1) by = k + 3;
    out.push(dense ? noise(4096, 5000 + i + (by - 1) * 100000) : Buffer.alloc(4096));
  }
  put("pagefile.sys", Buffer.concat(out));
}
for (let i = 0; i < 12; i++) {
  if (i >= 3 && i <= v + 1 && v > 1) continue;
  put(
    `home/user/Documents/photo${i}.jpg`,
    noise(Math.round(((40 + i * 37) * K * unit) / 4 + i * 131), 700 + i),
  );
}
for (let i = 20; i < 16 + 2 * (v + 1); i++)
  put(`home/user/Documents/photo${i}.jpg`, noise(Math.round((150 * K * unit) / 4 + 77), 700 + i));
