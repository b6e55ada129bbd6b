import type { Command } from "commander";
import { collect, leaf } from "./leaf.js";
import { addOriginOptions } from "./origin-options.js";
import { addProgramOptions } from "./server-commands.js";

/** client run, check, status, accept, rollback, limit, export, import. */
export function addClientCommands(program: Command): void {
  const client = program.command("client").description("keep the images of a branch machine current");
  addRun(client);
  addControl(client);
}

function addRun(client: Command): void {
  const run = client
    .command("run")
    .summary("fetch images, keep them current, share them in the site")
    .description(
      "Polls the origin, fetches what is new from older versions on this machine, from peers of the site and " +
        "from the origin, checks every frame, and rebuilds the disk.",
    )
    .option("--origin <URL>", "the origin's folder: https://host/MEDVImages")
    .option("--store <DIR>", "folder of this machine's images")
    .option("--tracker <URL>", "ws://host:port/path or wss://…")
    .option("--image <NAME>", "image to follow (several times); default: all of the catalogue", collect)
    .option("--site <LABEL>", "site of this machine, if addresses do not tell it")
    .option("--listen <ADDR:PORT>", "where peers connect to")
    .option("--site-network <CIDR>", "network of this site (several times)", collect)
    .option("--join-key-file <FILE>", "secret to show the tracker when the origin issues no tickets")
    .option("--allow-open-swarm", "share with peers although the origin is not reached over TLS")
    .option(
      "--wan-budget <RATE|off>",
      "most that the whole site fetches from the origin: 50M is 50 Mbit/s; default: gives way to others; off: neither",
    )
    .option(
      "--wan-timetable <LINE>",
      'when less may be used: "mon-fri 08:00-18:00 slow" (several times; off, slow, full)',
      collect,
    )
    .option("--pre-stage <DIR>", "folder where pairs may lie before they are wanted")
    .option("--materialize <FORMAT>", "rebuild the disk beside the pack: original, raw, vhd or off");
  addProgramOptions(addOriginOptions(run))
    .option("--once", "check now, fetch, verify, end")
    .option("--seed-for <SECONDS>", "with --once: share that long before the end");
  leaf(
    run,
    "service",
    [
      "ckmesh client run --origin https://images.example/MEDVImages --store /var/lib/ckmesh \\",
      "    --tracker wss://images.example/ckmesh/tracker --user branch7 --password-file pw.txt",
      "ckmesh client run --origin http://stock-server/MEDVImages --image Win11 --store ./store --once",
    ],
    async () => (await import("./commands/client-run.js")).clientRun,
  );
}

function addControl(client: Command): void {
  const store = "folder of the client";
  leaf(
    client
      .command("check")
      .summary("look for a new version now")
      .description("Asks the running client to look for new versions at once.")
      .requiredOption("--store <DIR>", store),
    "work",
    ["ckmesh client check --store /var/lib/ckmesh"],
    async () => (await import("./commands/client-control.js")).check,
  );
  leaf(
    client
      .command("status")
      .summary("show images, versions, sources of their bytes, errors")
      .description("Shows each image and version of a store; works with and without a running client.")
      .requiredOption("--store <DIR>", store),
    "work",
    ["ckmesh client status --store /var/lib/ckmesh", "ckmesh client status --store /var/lib/ckmesh --json"],
    async () => (await import("./commands/client-control.js")).status,
  );
  for (const [name, what] of [
    ["accept", "let a proposed version be fetched or become active"],
    ["rollback", "make an older version that is still here the active one"],
  ] as const) {
    leaf(
      client
        .command(name)
        .summary(what)
        .description(`${what.charAt(0).toUpperCase()}${what.slice(1)}.`)
        .argument("<NAME>", "image")
        .argument("[VERSION]", name === "accept" ? "default: the newest" : "default: the one before")
        .requiredOption("--store <DIR>", store),
      "work",
      [`ckmesh client ${name} Win11 --store /var/lib/ckmesh`],
      async () => (await import("./commands/client-control.js"))[name],
    );
  }
  leaf(
    client
      .command("limit")
      .summary("use less of the WAN for a while, or more")
      .description(
        "Sets for a while what this client takes from the origin: nothing (off), half of the best rate measured " +
          "(slow), what its configuration allows at most (full), or a rate for the whole site. It outlives a restart " +
          "and expires by itself; auto ends it at once. Peers of the site are not limited.",
      )
      .argument("<off|slow|full|RATE|auto>", "RATE: 20M is 20 Mbit/s for all clients of the site together")
      .option("--for <DURATION>", "30m, 2h, 1d; at most 7d", "1h")
      .requiredOption("--store <DIR>", store),
    "work",
    [
      "ckmesh client limit off --for 2h --store /var/lib/ckmesh",
      "ckmesh client limit auto --store /var/lib/ckmesh",
    ],
    async () => (await import("./commands/client-control.js")).limit,
  );
  leaf(
    client
      .command("export")
      .summary("copy a pack and its index out of the store")
      .description(
        "Copies a complete version of an image to a folder, each byte proven on the way, for `client import`, a " +
          "pre-stage folder, or an origin. Nothing is overwritten. Works with and without a running client.",
      )
      .argument("<NAME>", "image")
      .argument("<DIR>", "folder to copy to; made if it is not there")
      .option("--version <N>", "default: the newest complete one")
      .requiredOption("--store <DIR>", store),
    "work",
    ["ckmesh client export Win11 /mnt/usb --store /var/lib/ckmesh"],
    async () => (await import("./commands/client-export.js")).clientExport,
  );
  leaf(
    client
      .command("import")
      .summary("take versions from a folder or a removable disk")
      .description(
        "Takes the newest version of each image in a folder into the store: what `client export` wrote there, or a " +
          "copy of an origin's files. Every byte is proven; what is damaged or missing is fetched by the client. A " +
          "running client does it itself and counts it as accepted; into the store of a stopped one it is copied, " +
          "and the client judges it when it starts.",
      )
      .argument("<DIR>", "folder with NAME_n.ckm and NAME_n.ckm.index")
      .requiredOption("--store <DIR>", store),
    "work",
    ["ckmesh client import /mnt/usb --store /var/lib/ckmesh"],
    async () => (await import("./commands/client-import.js")).clientImport,
  );
}
