import type { ErrorCode } from "@ckmesh/core";

/** What a person does next, per code: the second line under an error. docs/errors.md says more. */
const ADVICE: Partial<Readonly<Record<ErrorCode, string>>> = {
  ERR_CONFIG_INVALID: "correct the named key; --print-config shows every value and where it comes from",
  ERR_USAGE: "see the command's --help",
  ERR_AUTH_REQUIRED:
    "give --user and --password-file of an account with the right that this needs, or --negotiate; `ckmesh doctor URL` tries each way",
  ERR_AUTH_FORBIDDEN:
    "use https:// with --user and --password-file, or ask the origin's administrator for the right (read; to upload, change)",
  ERR_AUTH_UNAVAILABLE:
    "the credentials were not looked at: try again, and look into the origin's log if it lasts",
  ERR_IMAGE_NOT_FOUND:
    "check the name: `ckmesh client status` lists what is here, /ckmesh/catalogue of the origin what is there",
  ERR_IMAGE_NAME_INVALID: 'choose a name without spaces and without "<>|\\/:*?',
  ERR_IMAGE_EXISTS: "nothing is overwritten: write to another file, and pack new content as the next version",
  ERR_VERSION_IN_USE: "publish another version or withdraw this one first; --force deletes it all the same",
  ERR_INDEX_INVALID: "copy the .index again from its source, or pack the disk again",
  ERR_PACK_INVALID: "copy the .ckm again from its source, or pack the disk again",
  ERR_DISK_INVALID:
    "give a raw disk, a fixed or dynamic VHD, or, with qemu-img installed, a whole VHDX, qcow2 or VMDK; copy a damaged one again",
  ERR_FORMAT_UNSUPPORTED:
    "check that it is the right file; if a newer ckmesh made it, update this one; other disk formats: convert to raw or VHD; a delta: put the pair into the folder of the origin",
  ERR_SIGNATURE_INVALID: "add the publisher's public key to `publishers`, or find out who made this version",
  ERR_VERSION_REFUSED: "publish the older content as a new version, or use `ckmesh client rollback`",
  ERR_UPLOAD_CONFLICT: "wait until nothing writes to the file, and upload it again",
  ERR_UPLOAD_DISABLED: "check the URL given to --to; the server's administrator can enable uploads there",
  ERR_UPLOAD_REFUSED: "the server's log says why; its administrator can read it",
  ERR_UPLOAD_TOO_LARGE: "the server's administrator can raise BITSMaximumUploadSize",
  ERR_CONTROL_INVALID: "write the control record anew with `ckmesh image`",
  ERR_CONTROL_OUTDATED: "somebody else changed the rollout meanwhile: look at it, then run the command again",
  ERR_RATE_LIMITED: "the origin is busy; try again later",
  ERR_ORIGIN_BUSY: "the origin is busy; try again later",
  ERR_TICKET_INVALID: "origin and tracker need the same --fleet-key-file, and right clocks",
  ERR_FRAME_HASH_MISMATCH: "run `ckmesh verify` on the source; its disk or memory may be failing",
  ERR_ORIGIN_UNREACHABLE:
    "check the address in --origin or --to, the certificate (--ca) and the network; `ckmesh doctor URL` looks at each",
  ERR_ORIGIN_INVALID: "something between here and the origin changes answers; see the details",
  ERR_ORIGIN_CHANGED: "a version was replaced while it was read; run the command again",
  ERR_TIMEOUT: "check the network and try again; what was transferred is kept",
  ERR_STORE_BUSY: "stop the other ckmesh client that uses this folder, or give another --store",
  ERR_STORE_FULL:
    "free space on that disk (of an upload: the origin's) and run again; what was transferred is kept",
  ERR_STORE_CORRUPT: "run the client again: it fetches what is damaged anew",
  ERR_FILE_NOT_FOUND: "check the path",
  ERR_FILE_DENIED: "check the file's owner and mode, or run as the account that owns it",
  ERR_ADDRESS_IN_USE: "another program listens there; give another port, or stop it",
  ERR_INTERNAL: "this is a defect of ckmesh: please report it with the line above",
};

/** What to do next about an error of `code`; undefined when there is nothing more to say. */
export function adviceFor(code: ErrorCode): string | undefined {
  return ADVICE[code];
}
