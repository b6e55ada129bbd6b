import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { AppError } from "@ckmesh/core";

/** scrypt cost (RFC 7914): N = 2^15, r = 8, p = 1 take 32 MiB and about 80 ms of one core. */
const COST = { N: 32_768, r: 8, p: 1 } as const;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** Stored parameters above these are refused: the file could otherwise take the machine's memory. */
const MAX_N = 2 ** 18;
const MAX_MEMORY_BYTES = 320 * 1024 * 1024;

/** What is stored of a password: `scrypt$N$r$p$salt$hash`, the last two in base64. */
export interface PasswordHash {
  readonly N: number;
  readonly r: number;
  readonly p: number;
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, { ...COST, salt, hash: new Uint8Array(HASH_BYTES) });
  return ["scrypt", COST.N, COST.r, COST.p, salt.toString("base64"), hash.toString("base64")].join("$");
}

/** @throws {AppError} ERR_CONFIG_INVALID */
export function parsePasswordHash(text: string): PasswordHash {
  const m =
    /^scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9+/]{16,88}={0,2})\$([A-Za-z0-9+/]{43}=)$/.exec(
      text,
    );
  const [N, r, p] = [Number(m?.[1]), Number(m?.[2]), Number(m?.[3])];
  const isCost =
    N >= 1024 && N <= MAX_N && Number.isInteger(Math.log2(N)) && r >= 1 && r <= 16 && p >= 1 && p <= 4;
  if (m === null || !isCost || 128 * N * r * p > MAX_MEMORY_BYTES) {
    throw new AppError("ERR_CONFIG_INVALID", "a password must be stored as scrypt$N$r$p$salt$hash");
  }
  return {
    N,
    r,
    p,
    salt: Buffer.from(m[4] ?? "", "base64"),
    hash: Buffer.from(m[5] ?? "", "base64"),
  };
}

/** Takes the same time whether the password is right or wrong. */
export async function verifyPassword(stored: PasswordHash, password: string): Promise<boolean> {
  return timingSafeEqual(await derive(password, stored), stored.hash);
}

/** For names that do not exist: costs what a wrong password costs. */
export const NOBODY: PasswordHash = {
  ...COST,
  salt: randomBytes(SALT_BYTES),
  hash: randomBytes(HASH_BYTES),
};

function derive(password: string, stored: PasswordHash): Promise<Buffer> {
  const { N, r, p, salt, hash } = stored;
  return new Promise((resolve, reject) => {
    const options = { N, r, p, maxmem: MAX_MEMORY_BYTES + 1024 * 1024 };
    scrypt(password.normalize("NFC"), salt, hash.byteLength, options, (err, key) =>
      err === null ? resolve(key) : reject(err),
    );
  });
}
