import type { Command } from "commander";
import { leaf } from "./leaf.js";

/** pack, delta, inspect, verify, unpack, keygen: work on files, no network. */
export function addImageCommands(program: Command): void {
  leaf(
    program
      .command("pack")
      .summary("pack a disk into NAME_n.ckm and NAME_n.ckm.index")
      .description(
        "Packs a raw or VHD disk into a pack and its index. With --previous, frames that did not change stay " +
          "byte for byte those of the older version, so that clients fetch only what is new.",
      )
      .argument("<DISK>", "raw disk, fixed or dynamic VHD; with qemu-img also VHDX, qcow2, VMDK")
      .requiredOption("--name <NAME>", "image name")
      .requiredOption("--out <DIR>", "folder for the pair; it may be an origin's --root")
      .option("--version <N>", "version number; default: one more than --previous, else 1")
      .option("--previous <DIR|INDEX>", "the version before: its index, or the folder with the newest one")
      .option("--level <1-12>", "compression level", "3")
      .option("--trim", "let clients take sectors from files of their host; default: as --previous")
      .option("--sign <KEY>", "private key of `ckmesh keygen`; signs the index"),
    "work",
    [
      "ckmesh pack win11.vhd --name Win11 --out ./images",
      "ckmesh pack win11.vhd --name Win11 --out ./images --previous ./images --sign publisher.key",
    ],
    async () => (await import("./commands/pack.js")).pack,
  );
  leaf(
    program
      .command("delta")
      .summary("make the small update from one version to a later one")
      .description(
        "Makes NAME_n.from_m.ckm and its index beside version n: its new content, compressed with what version m " +
          "has, for clients that hold version m. Neither version changes; the pair may be removed at any time.",
      )
      .argument("<BASE_INDEX>", "NAME_m.ckm.index of the older version, its pack beside it")
      .argument("<TARGET_INDEX>", "NAME_n.ckm.index of the newer version, its pack beside it")
      .option("--sign <KEY>", "private key of `ckmesh keygen`; signs the index"),
    "work",
    [
      "ckmesh delta images/Win11_1.ckm.index images/Win11_2.ckm.index",
      "ckmesh delta images/Win11_1.ckm.index images/Win11_2.ckm.index --sign publisher.key",
    ],
    async () => (await import("./commands/delta.js")).delta,
  );
  leaf(
    program
      .command("inspect")
      .summary("show what an index says")
      .description("Shows name, version, sizes, codecs, sections and signatures of an index.")
      .argument("<INDEX>", "NAME_n.ckm.index, or NAME_n.from_m.ckm.index"),
    "work",
    ["ckmesh inspect images/Win11_1.ckm.index", "ckmesh inspect --json images/Win11_1.ckm.index"],
    async () => (await import("./commands/inspect.js")).inspect,
  );
  leaf(
    program
      .command("verify")
      .summary("check every byte of a pack against its index")
      .description(
        "Checks the index, the hash of every frame and of the whole pack, and every page of the disk. Of a delta " +
          "the hashes, and where both versions lie beside it that every frame yields that of the newer version.",
      )
      .argument("<INDEX>", "NAME_n.ckm.index or NAME_n.from_m.ckm.index, its pack beside it"),
    "work",
    ["ckmesh verify images/Win11_1.ckm.index"],
    async () => (await import("./commands/verify.js")).verify,
  );
  leaf(
    program
      .command("unpack")
      .summary("rebuild the disk of a pack")
      .description("Rebuilds the disk, checking every page before the file gets its name.")
      .argument("<INDEX>", "NAME_n.ckm.index, its pack beside it")
      .argument("<OUT>", "file to write; it must not exist")
      .option(
        "--format <FORMAT>",
        "original (the packed file, byte for byte), raw, or vhd (fixed)",
        "original",
      ),
    "work",
    [
      "ckmesh unpack images/Win11_1.ckm.index win11.vhd",
      "ckmesh unpack images/Win11_1.ckm.index win11.img --format raw",
    ],
    async () => (await import("./commands/unpack.js")).unpack,
  );
  leaf(
    program
      .command("keygen")
      .summary("make a signing key pair, a fleet key or a join key")
      .description(
        "Makes a key pair to sign images with: FILE (private) and FILE.pub (for `publishers` of clients). " +
          "With --fleet the secret that origin and tracker share; with --join the one that clients of a stock " +
          "web server show to the tracker. Nothing that exists is overwritten.",
      )
      .argument("<FILE>", "file to write, readable by its owner only")
      .option("--fleet", "a fleet key")
      .option("--join", "a join key"),
    "work",
    ["ckmesh keygen publisher.key", "ckmesh keygen --fleet fleet.key"],
    async () => (await import("./commands/keygen.js")).keygen,
  );
}
