import { statfsSync } from "node:fs";
import { fileErrorCode } from "../files/store-error.js";

/**
 * File systems of Linux whose files lie elsewhere or nowhere: `f_type` of statfs(2), from linux/magic.h and the
 * sources of each.
 */
const NOT_ON_DISK: ReadonlySet<number> = new Set([
  0x6969, // nfs
  0x517b, // smb
  0xff534d42, // cifs
  0xfe534d42, // smb2
  0x01021997, // 9p
  0x00c36400, // ceph
  0x5346414f, // afs
  0x6b414653, // kafs
  0x73757245, // coda
  0x65735546, // fuse: sshfs and its like
  0x9fa0, // proc
  0x62656572, // sysfs
  0x1cd1, // devpts
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0xcafe4a11, // bpf
]);

/** True for a folder on a network or virtual file system. Elsewhere than on Linux nothing tells. */
export function isOffDisk(folder: string): boolean {
  if (process.platform !== "linux") return false;
  try {
    return NOT_ON_DISK.has(statfsSync(folder).type >>> 0);
  } catch (err) {
    if (fileErrorCode(err) === undefined) throw err;
    return false; // it is not there: the walk finds out
  }
}
