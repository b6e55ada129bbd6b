import type { Command } from "commander";
import { leaf } from "./leaf.js";
import { addOriginOptions } from "./origin-options.js";

/** upload: a packed version to an origin, or to any server that takes BITS uploads. */
export function addUploadCommand(program: Command): void {
  const upload = program
    .command("upload")
    .summary("upload a version to an origin, and wait until it is published")
    .description(
      "Uploads NAME_n.ckm.index and the pack beside it by the BITS upload protocol. An origin of ckmesh gets only the " +
        "frames that it lacks, checks them while they arrive, and publishes the version; IIS with its BITS extension " +
        "just gets the files. An upload that breaks off goes on where it was when the command is run again.",
    )
    .argument("<INDEX>", "NAME_n.ckm.index, its pack beside it")
    .requiredOption("--to <URL>", "the origin's folder: https://host/MEDVImages")
    .option("--limit <RATE>", "send no faster: 50M is 50 Mbit/s, 5MB/s are bytes");
  leaf(
    addOriginOptions(upload),
    "work",
    [
      "ckmesh upload images/Win11_2.ckm.index --to https://images.example/MEDVImages \\",
      "    --user alice --password-file pw.txt",
      "ckmesh upload images/Win11_2.ckm.index --to https://iis.example/MEDVImages --negotiate --limit 50M",
    ],
    async () => (await import("./commands/upload.js")).upload,
  );
}
