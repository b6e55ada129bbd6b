import { describe, expect, it } from "vitest";
import { pairUploads, type UploadContent, type WaitingUpload } from "../../src/uploads/pairing.js";
import { parseUploadTarget } from "../../src/uploads/upload-target.js";

const SETTLE = 30_000;
let count = 0;

function half(url: string, content: UploadContent, facts: Partial<WaitingUpload> = {}): WaitingUpload {
  count += 1;
  return {
    id: `${url}#${count}`,
    user: "alice",
    target: parseUploadTarget(url),
    content,
    closedAt: 1000 + count,
    ...facts,
  };
}

const ourPack = (versionId: string) => ({ type: "pack", versionId }) as const;
const ourIndex = (versionId: string, isOpaque = false) => ({ type: "index", versionId, isOpaque }) as const;
const foreignPack = { type: "foreign-pack" } as const;
const foreignIndex = { type: "foreign-index" } as const;

describe("what belongs together", () => {
  it("is a pack of ours and the index that it names, among several of one user", () => {
    const index2 = half("a.ckm.index", ourIndex("v2"));
    const index3 = half("a.ckm.index", ourIndex("v3"));
    const pack3 = half("a.ckm", ourPack("v3"));
    expect(pairUploads([index2, index3, pack3], [], 2000, SETTLE)).toEqual({
      steps: [{ type: "publish", pack: pack3.id, index: index3.id }],
      lookAgainAt: undefined,
    });
  });

  it("is a pack of ours and the index of another user, if its own user sent none", () => {
    const pack = half("a.ckm", ourPack("v1"));
    const bobs = half("A_1.ckm.index", ourIndex("v1"), { user: "bob" });
    const own = half("a.ckm.index", ourIndex("v1"));
    expect(pairUploads([pack, bobs], [], 2000, SETTLE).steps).toEqual([
      { type: "publish", pack: pack.id, index: bobs.id },
    ]);
    expect(pairUploads([own, pack, bobs], [], 2000, SETTLE).steps).toEqual([
      { type: "publish", pack: pack.id, index: own.id },
    ]);
  });

  it("are foreign files of one user and name, but not of two", () => {
    const pack = half("a_3.ckm", foreignPack);
    const index = half("a_3.ckm.index", foreignIndex);
    expect(pairUploads([index, pack], [], 2000, SETTLE).steps).toEqual([
      { type: "publish", pack: pack.id, index: index.id },
    ]);
    const bobs = { ...index, user: "bob" };
    expect(pairUploads([bobs, pack], [], 2000, SETTLE)).toEqual({
      steps: [],
      lookAgainAt: pack.closedAt + SETTLE,
    });
  });

  it("is a foreign pack and an index of ours that describes one", () => {
    const pack = half("a.ckm", foreignPack);
    const index = half("a.ckm.index", ourIndex("v1", true));
    expect(pairUploads([pack, index], [], 2000, SETTLE).steps).toEqual([
      { type: "publish", pack: pack.id, index: index.id },
    ]);
  });
});

describe("what waits", () => {
  it("is half a pair of ours, for as long as it may", () => {
    const [pack, index] = [half("a.ckm", ourPack("v1")), half("b.ckm.index", ourIndex("v2"))];
    expect(pairUploads([pack, index], [], 1e9, SETTLE)).toEqual({ steps: [], lookAgainAt: undefined });
  });

  it("is a lone foreign pack, until it has stood still and nothing of its name is under way", () => {
    const pack = half("a.ckm", foreignPack);
    const due = pack.closedAt + SETTLE;
    const open = [{ user: "alice", target: parseUploadTarget("A.ckm.index") }];
    expect(pairUploads([pack], [], due - 1, SETTLE)).toEqual({ steps: [], lookAgainAt: due });
    expect(pairUploads([pack], open, due, SETTLE)).toEqual({ steps: [], lookAgainAt: undefined });
    expect(pairUploads([pack], [], due, SETTLE).steps).toEqual([
      { type: "publish", pack: pack.id, index: undefined },
    ]);
  });
});

describe("what is refused", () => {
  it("are a pack and an index under the alias that do not fit, when nothing else came", () => {
    const [index, pack] = [half("a.ckm.index", ourIndex("v1")), half("a.ckm", ourPack("v2"))];
    const due = pack.closedAt + SETTLE;
    const open = [{ user: "alice", target: parseUploadTarget("a.ckm") }];
    expect(pairUploads([index, pack], [], due - 1, SETTLE)).toEqual({ steps: [], lookAgainAt: due });
    expect(pairUploads([index, pack], open, due, SETTLE).steps).toEqual([]);
    expect(pairUploads([index, pack], [], due, SETTLE).steps).toEqual([
      { type: "refuse", upload: index.id, why: "mismatch" },
      { type: "refuse", upload: pack.id, why: "mismatch" },
    ]);
  });

  it.each([
    ["another version's", ourPack("v2"), ourIndex("v1")],
    ["a pack of ours and a foreign index", ourPack("v2"), foreignIndex],
    ["a foreign pack and an index of ours", foreignPack, ourIndex("v1")],
  ])("are two under one version's name at once: %s", (_what, packContent, indexContent) => {
    const [pack, index] = [half("a_1.ckm", packContent), half("a_1.ckm.index", indexContent)];
    expect(pairUploads([pack, index], [], 2000, SETTLE).steps.map(({ type }) => type)).toEqual([
      "refuse",
      "refuse",
    ]);
  });

  it("is the earlier of two uploads of the same", () => {
    const [first, second] = [half("a.ckm.index", ourIndex("v1")), half("A.ckm.index", ourIndex("v1"))];
    expect(pairUploads([second, first], [], 2000, SETTLE).steps).toEqual([
      { type: "refuse", upload: first.id, why: "superseded" },
    ]);
  });
});
