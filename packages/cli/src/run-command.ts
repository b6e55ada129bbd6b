import { AppError } from "@ckmesh/core";
import { EXIT, type ExitCode } from "./exit-codes.js";
import { toAppError } from "./failure.js";
import { Output, type OutputMode } from "./output.js";
import { processTerminal } from "./terminal.js";

/** What a command is given besides its options. */
export interface CommandContext {
  readonly output: Output;
  /** Aborted by SIGINT or SIGTERM: the command then closes what it opened and throws or returns. */
  readonly signal: AbortSignal;
}

/** @returns the exit code when it is not 0 */
export type Command = (context: CommandContext) => Promise<ExitCode | undefined>;

/** Whether a SIGTERM is the proper end of a command (`service`) or cuts it short (`work`). */
export type CommandKind = "work" | "service";

/**
 * Runs one command to its end: signals, errors, exit code. SIGINT ends with 130; SIGTERM with 0 for a service
 * that closed cleanly, else 143. A second signal ends the process at once.
 */
export async function runCommand(mode: OutputMode, kind: CommandKind, command: Command): Promise<void> {
  const terminal = processTerminal();
  const bar = mode.json || mode.quiet || !terminal.isTty ? undefined : await loadBar();
  const output = new Output(mode, terminal, bar);
  const stop = new AbortController();
  let signalExit: ExitCode | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    const exit = name === "SIGINT" ? EXIT.interrupted : EXIT.terminated;
    if (signalExit !== undefined) {
      output.close();
      process.exit(exit);
    }
    signalExit = exit;
    stop.abort(new AppError("ERR_ABORTED", `stopped by ${name}`));
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  // Started with a channel (the demonstration, tests): who started it is gone, however it ended.
  process.once("disconnect", () => onSignal("SIGTERM"));
  let exitCode: ExitCode;
  try {
    exitCode = (await command({ output, signal: stop.signal })) ?? EXIT.done;
    if (signalExit === EXIT.interrupted || (signalExit !== undefined && kind === "work"))
      exitCode = signalExit;
  } catch (err) {
    const error = toAppError(err);
    if (signalExit !== undefined && error.code === "ERR_ABORTED") {
      exitCode = kind === "service" && signalExit === EXIT.terminated ? EXIT.done : signalExit;
      if (kind === "work") output.failure(error, exitCode);
    } else {
      exitCode = output.failure(error);
      if (error.code === "ERR_INTERNAL" && error.cause instanceof Error && !mode.quiet)
        terminal.err(`${error.cause.stack ?? ""}\n`);
    }
  }
  output.close();
  await exitFlushed(exitCode);
}

/** Ends the process when all that was written has left it: pipes are asynchronous. */
async function exitFlushed(exitCode: ExitCode): Promise<void> {
  process.exitCode = exitCode;
  await Promise.all(
    [process.stdout, process.stderr].map(
      (stream) =>
        new Promise<void>((resolve) => {
          if (stream.destroyed) resolve();
          else stream.write("", () => resolve());
        }),
    ),
  );
  process.exit(exitCode);
}

async function loadBar() {
  const { ProgressBar } = await import("./progress-bar.js");
  return new ProgressBar(process.stderr);
}
