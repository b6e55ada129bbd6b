import type { Command } from "commander";
import { collect, leaf } from "./leaf.js";
import { addOriginOptions } from "./origin-options.js";

const TO = "--to https://images.example/MEDVImages --negotiate";

/** image list, show, delete, withdraw, restore, rollback, ring, approve, activate, hold, release: what an origin publishes, and who gets it. */
export function addImageAdminCommands(program: Command): void {
  const image = program
    .command("image")
    .description("look after the images of an origin: versions, withdrawals, rollouts");
  addViews(image);
  addDelete(image);
  addWithdrawals(image);
  addRollback(image);
  addRollouts(image);
}

function addViews(image: Command): void {
  const list = image
    .command("list")
    .summary("the images of an origin")
    .description("Lists the images of an origin with their newest versions and sizes.");
  leaf(
    addLinkOptions(list),
    "work",
    [`ckmesh image list ${TO}`],
    async () => (await import("./commands/image-show.js")).list,
  );
  const show = image
    .command("show")
    .summary("the versions of an image, and who gets which; or one version in detail")
    .description(
      "Shows the versions of an image, what is withdrawn and how far each rollout is; or one version.",
    )
    .argument("<NAME>", "image")
    .argument("[VERSION]", "one version in detail");
  leaf(
    addLinkOptions(show),
    "work",
    [`ckmesh image show Win11 ${TO}`, `ckmesh image show Win11 7 ${TO}`],
    async () => (await import("./commands/image-show.js")).show,
  );
}

function addDelete(image: Command): void {
  const remove = image
    .command("delete")
    .summary("delete a version, or a whole image")
    .description(
      "Deletes the files of a version, or of all versions. Its number is never free again. What clients follow is " +
        "deleted by --force only; withdraw a bad version first, so that clients leave it.",
    )
    .argument("<NAME>", "image")
    .argument("[VERSION]", "default: all, the whole image")
    .option("--force", "also the version that clients follow");
  leaf(
    addYes(addLinkOptions(remove)),
    "work",
    [`ckmesh image delete Win11 5 ${TO}`, `ckmesh image delete OldImage --force --yes ${TO}`],
    async () => (await import("./commands/image-delete.js")).deleteImage,
  );
}

function addWithdrawals(image: Command): void {
  const withdraw = image
    .command("withdraw")
    .summary("take back a bad version: clients that have it go back")
    .description(
      "Clients that have this version active go back to the last good one within one interval, and nobody takes it any more. " +
        "The files stay.",
    )
    .argument("<NAME>", "image")
    .argument("<VERSION>", "the bad one")
    .option("--reason <TEXT>", "for people: shown where the version was active")
    .option("--back-to <VERSION>", "the last good one; default: the newest below that is not withdrawn");
  leaf(
    addYes(addRecordOptions(withdraw)),
    "work",
    [`ckmesh image withdraw Win11 7 --reason "no network" --sign publisher.key ${TO}`],
    async () => (await import("./commands/image-order.js")).withdraw,
  );
  const restore = image
    .command("restore")
    .summary("undo a withdrawal")
    .description("The version is for clients again, as it was before it was withdrawn.")
    .argument("<NAME>", "image")
    .argument("<VERSION>", "the withdrawn one");
  leaf(
    addRecordOptions(restore),
    "work",
    [
      `ckmesh image restore Win11 7 --sign publisher.key ${TO}`,
      "ckmesh image restore Win11 7 --sign publisher.key --folder /srv/images",
    ],
    async () => (await import("./commands/image-order.js")).restore,
  );
}

function addRollback(image: Command): void {
  const rollback = image
    .command("rollback")
    .summary("publish old content as the next version")
    .description(
      "Makes a new version with the content of an older one: every frame is kept, so next to nothing is sent, neither to the " +
        "origin nor to clients that have the older one.",
    )
    .argument("<NAME>", "image")
    .argument("[VERSION]", "whose content; default: the newest before the highest that is not withdrawn");
  leaf(
    addYes(addSignOptions(addLinkOptions(rollback))),
    "work",
    [`ckmesh image rollback Win11 --sign publisher.key ${TO}`, `ckmesh image rollback Win11 5 ${TO}`],
    async () => (await import("./commands/image-rollback.js")).rollback,
  );
}

function addRollouts(image: Command): void {
  const ring = image
    .command("ring")
    .summary("give a version to some clients first")
    .description(
      "Clients get the version ring by ring: the first ring at once, each further one when the ring before it is approved, " +
        "everybody after the last. A ring is a share of the clients, groups of the clients' configuration, or both. " +
        "Say it before the version is published: rings for a version that all have already take it from nobody.",
    )
    .argument("<NAME>", "image")
    .argument("<VERSION>", "also one that is still to come")
    .requiredOption("--ring <RING>", "10%, pilots, or 25%,berlin,oslo (several times, in order)", collect)
    .option(
      "--failure-limit <PERCENT>",
      "hold the rollout when more than this share of reports say that it failed",
    )
    .option(
      "--min-reports <N>",
      "with --failure-limit: not before so many clients have reported; default 10",
    );
  leaf(
    addRecordOptions(ring),
    "work",
    [
      `ckmesh image ring Win11 8 --ring pilots --ring 10% --ring 50% --failure-limit 5% --sign publisher.key \\`,
      `    ${TO}`,
    ],
    async () => (await import("./commands/image-order.js")).ring,
  );
  const approve = image
    .command("approve")
    .summary("let the next ring have a version")
    .description("The ring that has the version was found good: the next one may have it.")
    .argument("<NAME>", "image")
    .argument("<VERSION>", "the one with rings")
    .option("--all", "all rings, and everybody");
  leaf(
    addRecordOptions(approve),
    "work",
    [`ckmesh image approve Win11 8 --sign publisher.key ${TO}`],
    async () => (await import("./commands/image-order.js")).approve,
  );
  const activate = image
    .command("activate")
    .summary("say when a version becomes active")
    .description("Clients fetch the version before, and make it active at that time, or at once.")
    .argument("<NAME>", "image")
    .argument("<VERSION>", "also one that is still to come")
    .option("--at <TIME>", "2026-12-01T06:00 (this machine's time) or 2026-12-01T06:00Z")
    .option("--prefetch-from <TIME>", "with --at: not fetched before")
    .option("--now", "at once: no time counts any more");
  leaf(
    addRecordOptions(activate),
    "work",
    [`ckmesh image activate Win11 8 --at 2026-12-01T06:00 --prefetch-from 2026-11-30T19:00 ${TO}`],
    async () => (await import("./commands/image-order.js")).activate,
  );
  for (const [name, what] of [
    ["hold", "stop a rollout: nobody else begins with the version or makes it active"],
    ["release", "let a rollout go on that was held, also one that the origin held by itself"],
  ] as const) {
    leaf(
      addRecordOptions(
        image
          .command(name)
          .summary(what)
          .description(`${what.charAt(0).toUpperCase()}${what.slice(1)}.`)
          .argument("<NAME>", "image")
          .argument("<VERSION>", "the one that is rolled out"),
      ),
      "work",
      [`ckmesh image ${name} Win11 8 --sign publisher.key ${TO}`],
      async () => (await import("./commands/image-order.js"))[name],
    );
  }
}

/** Of commands that make a control record, for an origin or for the folder of another server. */
function addRecordOptions(command: Command): Command {
  return addSignOptions(
    addOriginOptions(
      command
        .option("--to <URL>", "the origin's folder: https://host/MEDVImages")
        .option("--folder <DIR>", "in place of --to: the image folder of a stock web server"),
    ),
  );
}

function addSignOptions(command: Command): Command {
  return command
    .option("--sign <KEY>", "private key of `ckmesh keygen`; needed where `publishers` are configured")
    .option(
      "--publisher <HEX>",
      "public key of another signer, whose records and versions are signed anew (several times)",
      collect,
    );
}

function addYes(command: Command): Command {
  return command.option("--yes", "do not ask");
}

function addLinkOptions(command: Command): Command {
  return addOriginOptions(
    command.requiredOption("--to <URL>", "the origin's folder: https://host/MEDVImages"),
  );
}
