import type { Command } from "commander";
import { leaf } from "./leaf.js";
import { addOriginOptions } from "./origin-options.js";

/** doctor: what stands between this machine and the images of an origin. */
export function addDoctorCommand(program: Command): void {
  const doctor = program
    .command("doctor")
    .summary("check the way to an origin, and say what to change")
    .description(
      "Checks name, connection, TLS, clocks, redirects, the ways to log on, the files of an image, ranges, entity tags " +
        "and the tracker, with the settings of a client, and says what to change. Changes nothing; a password is tried " +
        "once per method, and not again when it was refused.",
    )
    .argument("<URL>", "the origin's folder: https://host/MEDVImages")
    .option("--image <NAME>", "whose files are looked at; default: the first one of the catalogue")
    .option("--tracker <URL>", "tracker to say hello to")
    .option("--join-key-file <FILE>", "secret to show the tracker when the origin issues no tickets")
    .option("--config <FILE>", "YAML file of a client, for what no flag says");
  leaf(
    addOriginOptions(doctor),
    "work",
    [
      "ckmesh doctor https://images.example/MEDVImages --user branch7 --password-file pw.txt",
      "ckmesh doctor https://iis.example/MEDVImages --negotiate --image Win11",
    ],
    async () => (await import("./commands/doctor.js")).doctor,
  );
}
