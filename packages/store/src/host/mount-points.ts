import { readFileSync } from "node:fs";
import { fileErrorCode } from "../files/store-error.js";

const MOUNT_INFO = "/proc/self/mountinfo";

/** Kinds of file systems whose files lie elsewhere, or nowhere: as `/proc/filesystems` and mount(8) name them. */
const NOT_ON_DISK: ReadonlySet<string> = new Set(
  (
    "nfs nfs4 cifs smb3 smbfs 9p ceph afs coda lustre beegfs gpfs pvfs2 ncpfs virtiofs vboxsf prl_fs autofs fuse " +
    "proc sysfs devpts devtmpfs mqueue hugetlbfs configfs fusectl pstore efivarfs debugfs tracefs securityfs " +
    "selinuxfs cgroup cgroup2 bpf binfmt_misc nfsd rpc_pipefs"
  ).split(" "),
);

/**
 * Where file systems are mounted. Asking the kernel for a list touches none of them: whoever looks at a mount
 * whose server is gone waits for ever.
 */
export class MountPoints {
  /** Kind of the uppermost file system by path. */
  readonly #kinds: ReadonlyMap<string, string>;

  private constructor(kinds: ReadonlyMap<string, string>) {
    this.#kinds = kinds;
  }

  /** None where the operating system does not tell: elsewhere than on Linux, and without /proc. */
  static read(): MountPoints {
    if (process.platform !== "linux") return MountPoints.parse("");
    try {
      return MountPoints.parse(readFileSync(MOUNT_INFO, "utf8"));
    } catch (err) {
      if (fileErrorCode(err) === undefined) throw err;
      return MountPoints.parse("");
    }
  }

  /** @param text as proc(5) describes `/proc/PID/mountinfo`; lines that are none are left out */
  static parse(text: string): MountPoints {
    const kinds = new Map<string, string>();
    for (const line of text.split("\n")) {
      const [place, type] = line.split(" - ");
      const path = place?.split(" ")[4];
      const kind = type?.split(" ")[0];
      if (path !== undefined && kind !== undefined) kinds.set(unescaped(path), kind);
    }
    return new MountPoints(kinds);
  }

  has(path: string): boolean {
    return this.#kinds.has(path);
  }

  /** A network or virtual file system is mounted there. */
  isOffDisk(path: string): boolean {
    const kind = this.#kinds.get(path);
    return kind !== undefined && (NOT_ON_DISK.has(kind) || kind.startsWith("fuse."));
  }
}

/** Space, tab, line feed and backslash are written as three octal digits. */
function unescaped(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCodePoint(Number.parseInt(digits, 8)),
  );
}
