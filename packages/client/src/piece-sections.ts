import type { VersionFiles } from "@ckmesh/store";
import type { PieceSection } from "@ckmesh/swarm";

/** The sections of an index as the swarm sees them: all are wanted. */
export function pieceSections(files: VersionFiles): PieceSection[] {
  const { head, layout } = files.table;
  return head.sections.map((section) => {
    const run = layout.section(section.kind) ?? { first: 0, count: 0 };
    const lengths = Uint32Array.from({ length: run.count }, (_, i) => layout.piece(run.first + i).length);
    return { lengths, wanted: true };
  });
}
