import { open } from "node:fs/promises";
import { formatBytes, toHex } from "@ckmesh/core";
import { decodeHead, HEAD_BYTES, type SignedHead } from "@ckmesh/image";
import type { Action } from "../leaf.js";

/** Shows what the head of an index says; reads its 4 KiB only. */
export const inspect: Action = async ({ output }, options) => {
  const index = options.arg(0);
  const signed = decodeHead(await readHead(index));
  output.summary(describe(signed), facts(signed));
  return undefined;
};

async function readHead(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** The head for machines. Its secret opens the swarm, so it is not shown. */
function facts({ head, idHex, signatures }: SignedHead): Readonly<Record<string, unknown>> {
  return {
    name: head.name,
    version: head.version,
    id: idHex,
    createdAt: new Date(head.createdAt * 1000).toISOString(),
    previous:
      head.previous === undefined ? null : { version: head.previous.version, id: toHex(head.previous.id) },
    disk: head.disk ?? null,
    pack: { bytes: head.pack.length, sha256: toHex(head.pack.sha256) },
    counts: head.counts,
    codecs: head.codecs.map((codec) => ({ ...codec, fingerprint: toHex(codec.fingerprint) })),
    requires: head.requires,
    sections: head.sections,
    signers: signatures.map(({ key }) => toHex(key)),
  };
}

function describe({ head, idHex, signatures }: SignedHead): readonly string[] {
  const { frames, kept, sectors } = head.counts;
  return [
    `id         ${idHex}`,
    `created    ${new Date(head.createdAt * 1000).toISOString()}`,
    ...(head.previous === undefined
      ? []
      : [`previous   version ${head.previous.version}, ${kept} of ${frames} frames kept`]),
    head.disk === undefined
      ? "disk       none (opaque pack)"
      : `disk       ${head.disk.format}, ${formatBytes(head.disk.size)}`,
    `frames     ${frames} with ${sectors} sectors of 4 KiB`,
    `codecs     ${head.codecs.map((codec) => `${codec.name} ${codec.level}`).join(", ")}`,
    `sections   ${head.sections.map(({ kind, length }) => `${kind} ${formatBytes(length)}`).join(", ")}`,
    `signed by  ${signatures.length === 0 ? "nobody" : signatures.map(({ key }) => toHex(key)).join(", ")}`,
    `${head.name} version ${head.version}: pack of ${formatBytes(head.pack.length)}`,
  ];
}
