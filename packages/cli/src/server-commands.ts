import type { Command } from "commander";
import { leaf } from "./leaf.js";

/** Options that every long-running program has. */
export function addProgramOptions(command: Command): Command {
  return command
    .option("--config <FILE>", "YAML file; flags and CKMESH_… variables go before it")
    .option("--print-config", "print the effective configuration with its sources, and end")
    .option("--log-level <LEVEL>", "debug, info, warn, error or silent; JSON lines on standard error");
}

function addListenOptions(command: Command): Command {
  return command
    .option("--listen <ADDR:PORT>", "plain listener; port 0 takes a free one")
    .option("--tls-listen <ADDR:PORT>", "TLS listener")
    .option("--tls-cert <FILE>", "certificate chain, PEM")
    .option("--tls-key <FILE>", "private key, PEM")
    .option("--fleet-key-file <FILE>", "secret that origin and tracker share (`ckmesh keygen --fleet`)")
    .option("--state <DIR>", "folder for what the program remembers");
}

/** origin, origin account add, tracker. */
export function addServerCommands(program: Command): void {
  const origin = program
    .command("origin")
    .summary("serve a folder of images over HTTP")
    .description(
      "Serves the images of a folder at /MEDVImages. A pair copied into the folder is checked, then published. " +
        "SIGHUP makes it read its configuration again without ending transfers.",
    )
    .option("--root <DIR>", "folder with the images")
    .option("--anonymous", "let everybody read");
  addListenOptions(addProgramOptions(origin))
    .option("--cert-listen <ADDR:PORT>", "TLS listener that requires a client certificate")
    .option("--tracker <URL>", "tell this tracker (ws:// or wss://) what is published")
    .option("--tracker-ca <FILE>", "certificates to trust for --tracker, PEM")
    .option("--with-tracker", "run the tracker too, at /ckmesh/tracker of the same listeners");
  leaf(
    origin,
    "service",
    [
      "ckmesh origin --root ./images --listen 0.0.0.0:8080 --anonymous",
      "ckmesh origin --root ./images --tls-listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem \\",
      "    --fleet-key-file fleet.key --with-tracker --config origin.yaml",
    ],
    async () => (await import("./commands/origin.js")).origin,
  );
  const account = origin.command("account").description("manage the accounts file of the origin");
  leaf(
    account
      .command("add")
      .summary("add an account, or change its password")
      .description("Adds an account to the accounts file, or changes its password.")
      .argument("<NAME>", "user name")
      .requiredOption("--password-file <FILE>", "file whose first line is the password")
      .requiredOption("--accounts <FILE>", "accounts file; made when absent")
      .option("--no-ntlm", "keep no NT hash, which is as secret as the password: Basic only"),
    "work",
    ["ckmesh origin account add branch7 --password-file pw.txt --accounts accounts.yaml"],
    async () => (await import("./commands/account-add.js")).accountAdd,
  );
  const tracker = program
    .command("tracker")
    .summary("introduce the clients of a site to each other")
    .description("Tells the clients of a site of each other, and of new versions. It carries no image data.");
  addListenOptions(addProgramOptions(tracker))
    .option("--join-key-file <FILE>", "secret for clients of a stock web server (`ckmesh keygen --join`)")
    .option("--open", "plain WebSocket and no ticket: for tests and trusted networks");
  leaf(
    tracker,
    "service",
    [
      "ckmesh tracker --tls-listen 0.0.0.0:8444 --tls-cert cert.pem --tls-key key.pem --fleet-key-file fleet.key",
      "ckmesh tracker --listen 127.0.0.1:0 --open",
    ],
    async () => (await import("./commands/tracker.js")).tracker,
  );
}
