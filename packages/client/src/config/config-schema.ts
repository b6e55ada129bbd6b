import { Type } from "@ckmesh/runtime";
import type { Static } from "typebox";
import { originConfigDefaults, originConfigProperties } from "./origin-config.js";

/** How new versions of an image are treated (DESIGN.md section 8). */
const POLICIES = ["auto", "suggest", "manual"] as const;
export type Policy = (typeof POLICIES)[number];

const MATERIALIZE_FORMATS = ["off", "original", "raw", "vhd"] as const;
export type MaterializeFormat = (typeof MATERIALIZE_FORMATS)[number];

const file = (description: string) => Type.String({ description, isPath: true });
const text = (description: string) => Type.String({ description });
const flag = (description: string) => Type.Boolean({ description });
const names = (description: string) => Type.Array(Type.String(), { description });

/** Settings of `ckmesh client run`. */
export const clientConfigSchema = Type.Object({
  origin: text("The origin's virtual directory: https://host/MEDVImages"),
  store: file("Folder of the images of this machine"),
  tracker: Type.Optional(text("wss://host[:port][/path]; ws:// where the tracker runs with --open")),
  images: names("Images to keep; none = every image of the origin's catalogue"),
  site: Type.Optional(text("Label of the site, where addresses do not tell it")),
  listen: text("Where peers connect: ADDR:PORT, port 0 = any free one"),
  siteNetworks: names("Further networks of the site, CIDR"),
  joinKeyFile: Type.Optional(file("Key that admits to the tracker where the origin issues no tickets")),
  allowOpenSwarm: flag("Share with peers although the head came over plain http"),
  wanBudget: Type.Optional(
    text("Most that the whole site fetches from the origin: 50M (bits per second); off = no yielding either"),
  ),
  wanTimetable: names("When less may be used: mon-fri 08:00-18:00 slow; the first line that fits counts"),
  preStage: Type.Optional(
    file("Folder where pairs may lie before they are wanted, such as a removable disk"),
  ),
  materialize: Type.Enum([...MATERIALIZE_FORMATS], { description: "Rebuild the disk beside the pack" }),
  seedPacks: flag(
    "Keep the packs of active versions for peers; false needs materialize: disk and index stay",
  ),
  ioRate: Type.Optional(
    text("Most that work in the background reads and writes on this machine's disks: 40MB/s"),
  ),
  ...originConfigProperties,
  publishers: names("Public keys that may sign images, 64 hexadecimal characters each"),
  signature: Type.Enum(["required", "whenConfigured"], {
    description: "whenConfigured: unsigned images are taken while no publisher is configured",
  }),
  policy: Type.Enum([...POLICIES], {
    description: "auto fetches and activates, suggest and manual wait for accept",
  }),
  suggest: names("Images with the policy suggest"),
  manual: names("Images with the policy manual"),
  groups: names("Groups of this machine: rings of a rollout may name them"),
  keep: Type.Integer({ minimum: 0, maximum: 100, description: "Old versions kept besides the active one" }),
  consentHook: Type.Optional(
    file("Program asked before a version becomes active: NAME VERSION PACK DISK; exit 0 = yes"),
  ),
  trim: flag("Take what an image has in common with files of this machine from those files"),
  trimFolders: names("Folders that are looked through for it; none = those of the operating system"),
  trimOff: names("Images without trim"),
  trimWaitSeconds: Type.Integer({
    minimum: 0,
    maximum: 86_400,
    description: "How long an image waits for the very first look through the folders",
  }),
  peerClass: Type.Enum(["wired", "wifi", "battery"], {
    description: "How willing this machine is to fetch for others",
  }),
  lanAnnounce: flag("Find peers by multicast"),
  pollSeconds: Type.Integer({ minimum: 1, maximum: 604_800, description: "Interval of the checks" }),
  once: flag("Check now, fetch, verify, end"),
  seedFor: Type.Number({
    minimum: 0,
    maximum: 604_800,
    description: "With once: seconds to serve peers at the end",
  }),
  allowLoopbackPeers: flag("Loopback addresses count as LAN: tests and demonstrations"),
});

export type ClientConfig = Static<typeof clientConfigSchema>;

/** Everything but `origin` and `store`. */
export const clientConfigDefaults = {
  images: [],
  listen: "0.0.0.0:7650",
  siteNetworks: [],
  allowOpenSwarm: false,
  wanTimetable: [],
  materialize: "off",
  seedPacks: true,
  ...originConfigDefaults,
  publishers: [],
  signature: "whenConfigured",
  policy: "auto",
  suggest: [],
  manual: [],
  groups: [],
  keep: 1,
  trim: false,
  trimFolders: [],
  trimOff: [],
  trimWaitSeconds: 60,
  peerClass: "wired",
  lanAnnounce: true,
  pollSeconds: 900,
  once: false,
  seedFor: 0,
  allowLoopbackPeers: false,
} satisfies Partial<ClientConfig>;
