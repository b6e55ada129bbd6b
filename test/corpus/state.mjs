// state.mjs ROOT V SCALE_MIB: writes the mutable part of a machine, the same every run:
// logs (v2 = rotated + appended), hive-like binary stores of 4-KiB cells (v2 = 2 % of
// cells rewritten, 3 % appended), a page file (v2 = half of the pages rewritten),
// user documents that do not compress (v2 = a few new ones, one removed).
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
function cells(n, seed, edit) {
  // half structured, half dense
  const b = Buffer.alloc(n * 4096);
  const r = prng(seed),
    e = prng(seed + 77);
  for (let c = 0; c < n; c++) {
    const changed = edit && e() % 50 === 0,
      rr = changed ? prng(seed ^ (c * 7919 + 13)) : r;
    if (changed) for (let k = 0; k < 64; k++) r();
    b.write("hbin", c * 4096);
    b.writeUInt32LE(c, c * 4096 + 4);
    for (let k = 0; k < 64; k++) {
      const o = c * 4096 + 16 + k * 60;
      b.write("nk\u0020Value" + (rr() % 4096), o);
      b.writeUInt32LE(e.length, o + 24);
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
    put(`var/log/app${i}.log`, log(size, 100 + i) + log(size >> 2, 200 + i));
    put(`var/log/app${i}.log.1`, log(size, 90 + i));
  } else {
    put(`var/log/app${i}.log`, log(size >> 1, 200 + i));
    put(`var/log/app${i}.log.1`, log(size, 100 + i));
  }
}
for (let i = 0; i < 3; i++) {
  const n = Math.round(160 * unit),
    base = cells(n, 300 + i, v === 2);
  put(
    `var/lib/state/hive${i}`,
    v === 1 ? base : Buffer.concat([base, cells(Math.max(1, Math.round(n * 0.03)), 400 + i)]),
  );
}
{
  const n = Math.round(256 * unit),
    r = prng(9),
    out = [];
  for (let i = 0; i < n; i++) {
    const keep = r() & 1,
      dense = r() & 1;
    out.push(dense ? noise(4096, 5000 + i + (v === 2 && !keep ? 100000 : 0)) : Buffer.alloc(4096));
  }
  put("pagefile.sys", Buffer.concat(out));
}
for (let i = 0; i < 12; i++) {
  if (v === 2 && i === 3) continue;
  put(
    `home/user/Documents/photo${i}.jpg`,
    noise(Math.round(((40 + i * 37) * K * unit) / 4 + i * 131), 700 + i),
  );
}
if (v === 2)
  for (let i = 20; i < 22; i++)
    put(`home/user/Documents/photo${i}.jpg`, noise(Math.round((150 * K * unit) / 4 + 77), 700 + i));
