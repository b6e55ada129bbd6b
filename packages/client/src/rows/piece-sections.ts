import type { SectionKind } from "@ckmesh/image";
import type { PieceSection } from "@ckmesh/swarm";
import type { SwarmFiles } from "./swarm-files.js";

/** The sections of an index as the swarm sees them; without `wanted`, all are wanted. */
export function pieceSections(files: SwarmFiles, wanted?: ReadonlySet<SectionKind>): PieceSection[] {
  const { head, layout } = files.table;
  return head.sections.map((section) => {
    const run = layout.section(section.kind) ?? { first: 0, count: 0 };
    const lengths = Uint32Array.from({ length: run.count }, (_, i) => layout.piece(run.first + i).length);
    return { lengths, wanted: wanted?.has(section.kind) ?? true };
  });
}
