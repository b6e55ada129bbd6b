import { Command } from "commander";
import { addClientCommands } from "./client-commands.js";
import { addDoctorCommand } from "./doctor-command.js";
import { addImageAdminCommands } from "./image-admin-commands.js";
import { addImageCommands } from "./image-commands.js";
import { leaf } from "./leaf.js";
import { addServerCommands } from "./server-commands.js";
import { addUploadCommand } from "./upload-command.js";

/** The whole command line; reads nothing and starts nothing until it parses. */
export function createProgram(version: string): Command {
  const program = new Command("ckmesh");
  program
    .description(
      "Virtual-machine images to branch offices: one copy over each WAN link, no server in the branch.",
    )
    .version(version, "--version", "print the version")
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .exitOverride()
    // Usage errors are thrown and reported like all others.
    .configureOutput({ outputError: () => {} })
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ ckmesh demo                                               see all of it on this machine\n" +
        "  $ ckmesh pack win11.vhd --name Win11 --out ./images         pack a disk\n" +
        "  $ ckmesh origin --root ./images --listen 0.0.0.0:8080 --anonymous\n" +
        "  $ ckmesh client run --origin http://HOST:8080/MEDVImages --store ./store --once\n" +
        "\nExit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 not found, 5 no space, 6 verification failed,\n" +
        "7 busy, 78 configuration, 130 interrupted (docs/cli.md).",
    );
  addImageCommands(program);
  addUploadCommand(program);
  addImageAdminCommands(program);
  addServerCommands(program);
  addClientCommands(program);
  addDoctorCommand(program);
  leaf(
    program
      .command("demo")
      .summary("origin, tracker and four clients on this machine, with a real disk")
      .description(
        "Builds a disk from this machine's files, packs it, starts origin, tracker and two sites of two clients " +
          "on loopback, publishes a second version, and shows where every byte came from. Leaves nothing behind.",
      )
      .option("--mib <N>", "size of the files on the disk, MiB", "208")
      .option("--keep <DIR>", "work in this folder and keep it"),
    "work",
    ["ckmesh demo", "ckmesh demo --keep ./demo"],
    async () => (await import("./commands/demo.js")).demo,
  );
  return program;
}
