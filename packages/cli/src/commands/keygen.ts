import { generateKeyPairSync } from "node:crypto";
import { rm } from "node:fs/promises";
import { AppError, toHex } from "@ckmesh/core";
import { publicKeyBytes } from "@ckmesh/image";
import { OWNER_ONLY, sharedKeyText, writeNewFile } from "../key-file.js";
import type { Action } from "../leaf.js";

const EVERYBODY_READS = 0o644;

/** Writes a signing key pair, a fleet key or a join key; never over a file that exists. */
export const keygen: Action = async ({ output }, options) => {
  const file = options.arg(0);
  const isFleet = options.flag("fleet") === true;
  const isJoin = options.flag("join") === true;
  if (isFleet && isJoin) throw new AppError("ERR_USAGE", "give --fleet or --join, not both");
  if (isFleet || isJoin) {
    await writeNewFile(file, sharedKeyText(), OWNER_ONLY);
    const [kind, next] = isFleet
      ? ["fleet", "give it to origin and tracker with --fleet-key-file"]
      : ["join", "give it to tracker and clients with --join-key-file"];
    output.summary([next, `${kind} key written to ${file}`], { kind, file });
    return undefined;
  }
  const { privateKey } = generateKeyPairSync("ed25519");
  const publicKey = toHex(publicKeyBytes(privateKey));
  const publicFile = `${file}.pub`;
  await writeNewFile(publicFile, `${publicKey}\n`, EVERYBODY_READS);
  try {
    await writeNewFile(file, String(privateKey.export({ format: "pem", type: "pkcs8" })), OWNER_ONLY);
  } catch (err) {
    await rm(publicFile, { force: true });
    throw err;
  }
  output.summary(
    [
      `private key  ${file}: keep it safe; sign with ckmesh pack --sign ${file}`,
      `public key   ${publicKey}: list it under publishers in the configuration of clients`,
      `key pair written to ${file} and ${publicFile}`,
    ],
    { kind: "signing", file, publicFile, publicKey },
  );
  return undefined;
};
