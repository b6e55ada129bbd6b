import { open } from "node:fs/promises";
import { formatBytes, toHex } from "@ckmesh/core";
import { type DeltaHead, decodeAnyHead, HEAD_BYTES, type HeadCommon, type SignedHead } from "@ckmesh/image";
import type { Action } from "../leaf.js";

/** Shows what the head of an index says; reads its 4 KiB only. */
export const inspect: Action = async ({ output }, options) => {
  const read = decodeAnyHead(await readHead(options.arg(0)));
  switch (read.kind) {
    case "image":
      output.summary(describe(read.signed), facts(read.signed));
      break;
    case "delta":
      output.summary(describeDelta(read.signed), deltaFacts(read.signed));
      break;
  }
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
function commonFacts({ head, idHex, signatures }: SignedHead<HeadCommon>): Readonly<Record<string, unknown>> {
  return {
    name: head.name,
    version: head.version,
    id: idHex,
    createdAt: new Date(head.createdAt * 1000).toISOString(),
    pack: { bytes: head.pack.length, sha256: toHex(head.pack.sha256) },
    counts: head.counts,
    codecs: head.codecs.map((codec) => ({ ...codec, fingerprint: toHex(codec.fingerprint) })),
    requires: head.requires,
    sections: head.sections,
    signers: signatures.map(({ key }) => toHex(key)),
  };
}

function facts(signed: SignedHead): Readonly<Record<string, unknown>> {
  const { previous, disk } = signed.head;
  return {
    ...commonFacts(signed),
    previous: previous === undefined ? null : { version: previous.version, id: toHex(previous.id) },
    disk: disk ?? null,
  };
}

function deltaFacts(signed: SignedHead<DeltaHead>): Readonly<Record<string, unknown>> {
  const { base, target } = signed.head;
  return {
    ...commonFacts(signed),
    base: { version: base.version, id: toHex(base.id) },
    target: { version: target.version, id: toHex(target.id) },
  };
}

function describe(signed: SignedHead): readonly string[] {
  const { head } = signed;
  const { frames, kept } = head.counts;
  return [
    ...describeStart(signed),
    ...(head.previous === undefined
      ? []
      : [`previous   version ${head.previous.version}, ${kept} of ${frames} frames kept`]),
    head.disk === undefined
      ? "disk       none (opaque pack)"
      : `disk       ${head.disk.format}, ${formatBytes(head.disk.size)}`,
    ...describeParts(signed),
    `${head.name} version ${head.version}: pack of ${formatBytes(head.pack.length)}`,
  ];
}

function describeDelta(signed: SignedHead<DeltaHead>): readonly string[] {
  const { name, base, target, pack } = signed.head;
  return [
    ...describeStart(signed),
    `base       version ${base.version}, ${toHex(base.id)}`,
    `target     version ${target.version}, ${toHex(target.id)}`,
    ...describeParts(signed),
    `${name} version ${target.version} from ${base.version}: delta of ${formatBytes(pack.length)}`,
  ];
}

function describeStart({ head, idHex }: SignedHead<HeadCommon>): readonly string[] {
  return [`id         ${idHex}`, `created    ${new Date(head.createdAt * 1000).toISOString()}`];
}

function describeParts({ head, signatures }: SignedHead<HeadCommon>): readonly string[] {
  return [
    `frames     ${head.counts.frames} with ${head.counts.sectors} sectors of 4 KiB`,
    `codecs     ${head.codecs.map((codec) => `${codec.name} ${codec.level}`).join(", ")}`,
    `sections   ${head.sections.map(({ kind, length }) => `${kind} ${formatBytes(length)}`).join(", ")}`,
    `signed by  ${signatures.length === 0 ? "nobody" : signatures.map(({ key }) => toHex(key)).join(", ")}`,
  ];
}
