import { createInterface } from "node:readline/promises";
import { AppError } from "@ckmesh/core";
import type { CliOptions } from "./cli-options.js";
import type { CommandContext } from "./run-command.js";

/**
 * Goes on only if a person says yes, or said so by --yes.
 * @throws {AppError} ERR_USAGE where nobody can be asked, ERR_ABORTED when the answer is another one
 */
export async function confirm(
  { output, signal }: CommandContext,
  options: CliOptions,
  question: string,
): Promise<void> {
  if (options.flag("yes") === true) return;
  const { stdin, stderr } = process;
  if (!stdin.isTTY || !stderr.isTTY || output.mode.json || output.mode.quiet) {
    throw new AppError("ERR_USAGE", `${question} Nobody can be asked here: give --yes`);
  }
  const dialogue = createInterface({ input: stdin, output: stderr });
  try {
    const answer = await dialogue.question(`${question} [y/N] `, { signal });
    if (!/^y(?:es)?$/i.test(answer.trim())) throw new AppError("ERR_ABORTED", "nothing was changed");
  } finally {
    dialogue.close();
  }
}
