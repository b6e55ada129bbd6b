import type { CommandRun } from "../timed-command.js";
import { megabytes, type UpdateCost } from "./update-cost.js";

const HEADER = [
  "tool",
  "first install, MB",
  "update, MB",
  "our update is x times that",
  "CPU of the first, s (x casync)",
  "CPU of the update, s (x casync)",
  "",
];

/** Markdown; the first row is ours. */
export function costTable(rows: readonly UpdateCost[]): string {
  const casync = rows.find(({ tool }) => tool.startsWith("casync"));
  const own = rows[0]?.updateBytes;
  const lines = rows.map((row, i) => {
    const { tool, firstBytes, updateBytes, note } = row;
    return [
      tool,
      firstBytes === undefined ? "" : megabytes(firstBytes),
      updateBytes === undefined ? "" : megabytes(updateBytes),
      i === 0 || own === undefined || updateBytes === undefined ? "" : (own / updateBytes).toFixed(2),
      cpu(row.first, casync?.first),
      cpu(row.update, casync?.update),
      note ?? "",
    ];
  });
  return [HEADER, HEADER.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |\n`).join("");
}

function cpu(run: CommandRun | undefined, unit: CommandRun | undefined): string {
  if (run === undefined) return "";
  return `${run.cpuSec.toFixed(1)}${unit === undefined ? "" : ` (${(run.cpuSec / unit.cpuSec).toFixed(2)})`}`;
}
