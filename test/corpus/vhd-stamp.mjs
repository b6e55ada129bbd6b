// vhd-stamp.mjs FILE...: gives the VHD footer (and its copy in a dynamic VHD) a fixed
// time stamp and id and recomputes the checksum, so that two runs give equal files.
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs";

for (const f of process.argv.slice(2)) {
  const fd = openSync(f, "r+"),
    size = fstatSync(fd).size,
    b = Buffer.alloc(512);
  for (const at of [0, size - 512]) {
    readSync(fd, b, 0, 512, at);
    if (b.toString("latin1", 0, 8) !== "conectix") continue;
    b.writeUInt32BE(0x2f000000, 24);
    b.writeUInt32BE(0, 64);
    b.fill(0x5a, 68, 84);
    let sum = 0;
    for (const x of b) sum += x;
    b.writeUInt32BE(~sum >>> 0, 64);
    writeSync(fd, b, 0, 512, at);
  }
  closeSync(fd);
}
