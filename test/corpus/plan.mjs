// plan.mjs FROM TO BACKEND: prints the edits that turn tree FROM into tree TO,
// for ntfs-apply ("ntfs") or for `debugfs -w -f` ("ext4"). FROM may be "-" (empty).
// Order is by path, so the result does not depend on the host's folder order.
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

const [from, to, backend] = process.argv.slice(2);
const ntfs = backend === "ntfs";
const IN_PLACE = /^\/var\/(log|lib\/state)\/|^\/pagefile/; // rewritten where they lie
function tree(root) {
  const out = new Map();
  if (root === "-") return out;
  const seen = new Set(); // NTFS side: names that differ only in case would clash
  const walk = (rel) => {
    for (const n of readdirSync(join(root, rel)).toSorted()) {
      const p = rel + "/" + n;
      if (ntfs) {
        const k = p.toLowerCase();
        if (seen.has(k) || /[:*?"<>|\\]|[. ]$/.test(n)) continue;
        seen.add(k);
      }
      const st = lstatSync(join(root, p));
      if (st.isDirectory()) {
        out.set(p, { t: "d" });
        walk(p);
      } else if (st.isFile()) out.set(p, { t: "f", size: st.size });
      else if (st.isSymbolicLink() && !ntfs) out.set(p, { t: "l", to: readlinkSync(join(root, p)) });
    }
  };
  walk("");
  return out;
}
const a = tree(from),
  b = tree(to);
const q = (s) => `"${s}"`;
const lines = [];
const emit = (...w) => lines.push(w.join(ntfs ? "\t" : " "));
const del = (p, e) => (ntfs ? emit("X", p) : emit(e.t === "d" ? "rmdir" : "rm", q(p)));
const add = (p, e) => {
  if (e.t === "l") emit("symlink", q(p), q(e.to));
  else if (e.t === "d") emit(...(ntfs ? ["D", p] : ["mkdir", q(p)]));
  else emit(...(ntfs ? ["F", p, join(to, p)] : ["write", q(join(to, p)), q(p)]));
};
const gone = [];
for (const [p, e] of b) {
  const o = a.get(p);
  if (!o) {
    add(p, e);
    continue;
  }
  if (o.t !== e.t) {
    gone.push([p, o]);
    if (o.t === "d") continue;
    del(p, o);
    add(p, e);
    gone.pop();
    continue;
  }
  if (e.t === "d") continue;
  if (e.t === "l") {
    if (o.to !== e.to) {
      del(p, o);
      add(p, e);
    }
    continue;
  }
  const x = readFileSync(join(from, p)),
    y = readFileSync(join(to, p));
  if (x.equals(y)) continue;
  if (ntfs) {
    emit(IN_PLACE.test(p) ? "O" : "U", p, join(to, p));
    continue;
  }
  if (IN_PLACE.test(p)) {
    del(p, o);
    add(p, e);
    continue;
  } // frees and takes the same blocks again
  emit("write", q(join(to, p)), q(p + ".new~"));
  del(p, o);
  emit("ln", q(p + ".new~"), q(p));
  emit("unlink", q(p + ".new~"));
}
for (const [p, e] of [...a].toReversed()) if (!b.has(p)) del(p, e);
process.stdout.write(lines.join("\n") + "\n");
