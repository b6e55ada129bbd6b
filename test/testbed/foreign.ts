import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { PROGRAM_PATH } from "./run-program.js";

/** What the tests of logon and of uploads run beside ours. */
export type Foreign =
  | "samba"
  | "kdc"
  | "curl"
  | "gss-ntlmssp"
  | "python"
  | "requests-ntlm"
  | "apache"
  | "nginx"
  | "openssl";

const INSTALL = "sudo bash scripts/install-test-packages";
/** Debian's: another python3 in the path does not see Debian's modules. */
export const PYTHON = "/usr/bin/python3";
export const APACHE = "/usr/sbin/apache2";
export const APACHE_MODULES = "/usr/lib/apache2/modules";

const reasons = new Map<Foreign, string | undefined>();

/**
 * Why tests with these programs cannot run here, printed once for each reason; undefined when they can.
 * For `describe.skipIf(whyNot("the domain", ["samba"]) !== undefined)`.
 */
export function whyNot(what: string, needed: readonly Foreign[]): string | undefined {
  for (const program of needed) {
    if (!reasons.has(program)) reasons.set(program, findReason(program));
    const reason = reasons.get(program);
    if (reason !== undefined) {
      process.stderr.write(`tests of ${what} skipped: ${reason}\n`);
      return reason;
    }
  }
  return undefined;
}

function findReason(program: Foreign): string | undefined {
  if (process.platform !== "linux") return `${program} is started on Linux only`;
  switch (program) {
    case "samba":
      if (process.getuid?.() !== 0) return "Samba's ports and file attributes need root";
      return firstMissing(["samba", "samba-tool", "ntlm_auth", "ldbmodify", "kinit", "unshare", "openssl"]);
    case "kdc":
      return firstMissing(["krb5kdc", "kdb5_util", "kadmin.local", "kinit"]);
    case "curl":
    case "openssl":
      return firstMissing([program]);
    case "nginx":
      return firstMissing(["nginx"]);
    case "gss-ntlmssp":
      return findUnder("/usr/lib", "gssntlmssp") ? undefined : missing("gss-ntlmssp");
    case "python":
      return existsSync(PYTHON) ? undefined : missing("python3");
    case "requests-ntlm":
      return spawnSync(PYTHON, ["-c", "import requests_ntlm"]).status === 0
        ? undefined
        : missing("requests_ntlm for Debian's python3");
    case "apache":
      if (!existsSync(APACHE)) return missing("apache2");
      return existsSync(`${APACHE_MODULES}/mod_auth_gssapi.so`) ? undefined : missing("mod_auth_gssapi");
  }
}

/** Debian keeps libraries under /usr/lib/TRIPLET/. */
function findUnder(folder: string, name: string): boolean {
  return readdirSync(folder).some((triplet) => existsSync(`${folder}/${triplet}/${name}`));
}

function firstMissing(commands: readonly string[]): string | undefined {
  const absent = commands.find(
    (command) =>
      spawnSync("sh", ["-c", `command -v ${command}`], { env: { PATH: PROGRAM_PATH } }).status !== 0,
  );
  return absent === undefined ? undefined : missing(absent);
}

function missing(what: string): string {
  return `${what} is missing; it comes with: ${INSTALL}`;
}
