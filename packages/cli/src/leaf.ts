import type { Command } from "commander";
import type { CliOptions } from "./cli-options.js";
import type { ExitCode } from "./exit-codes.js";
import type { CommandContext, CommandKind } from "./run-command.js";

/** What one command does; loaded only when it is called, so that `--help` stays quick. */
export type Action = (context: CommandContext, options: CliOptions) => Promise<ExitCode | undefined>;

/** Gives a command the options that all have, its examples, and its action. */
export function leaf(
  command: Command,
  kind: CommandKind,
  examples: readonly string[],
  load: () => Promise<Action>,
): Command {
  return command
    .option("--json", "one JSON object per line on standard output (docs/json-output.md)")
    .option("--quiet", "only the last line")
    .addHelpText("after", `\nExamples:\n${examples.map(exampleLine).join("\n")}`)
    .action(async () => {
      const [{ runCommand }, { CliOptions: Options }] = await Promise.all([
        import("./run-command.js"),
        import("./cli-options.js"),
      ]);
      const options = new Options(command.opts<Record<string, unknown>>(), command.args);
      const mode = { json: options.flag("json") ?? false, quiet: options.flag("quiet") ?? false };
      await runCommand(mode, kind, async (context) => (await load())(context, options));
    });
}

/** A line of an example; one that begins with a space goes on with the line before it. */
function exampleLine(example: string): string {
  return example.startsWith(" ") ? `  ${example}` : `  $ ${example}`;
}

/** For options that may be given several times. */
export function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}
