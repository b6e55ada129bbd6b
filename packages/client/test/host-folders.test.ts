import { describe, expect, it } from "vitest";
import { hostFolders } from "../src/trim/host-folders.js";

const windows = {
  SystemRoot: "C:\\Windows",
  ProgramFiles: "C:\\Program Files",
  "ProgramFiles(x86)": "C:\\Program Files (x86)",
};

describe("hostFolders", () => {
  it("takes the folders of the operating system, but those whose variable is not set", () => {
    expect(hostFolders([], "win32", windows)).toEqual([
      "C:\\Windows",
      "C:\\Program Files",
      "C:\\Program Files (x86)",
    ]);
    expect(hostFolders([], "linux", {})).toEqual(["/usr", "/opt", "/var/lib"]);
    expect(hostFolders([], "plan9", {})).toEqual([]);
  });

  it("expands variables, and drops a folder that lies in another", () => {
    const folders = ["$BASE/a/../b", "${BASE}", "/data", "/data-2", "%BASE%/c", "/data/"];
    expect(hostFolders(folders, "linux", { BASE: "/srv" })).toEqual(["/srv", "/data", "/data-2"]);
  });

  it("refuses what is relative, on the network, or names a variable that is not set", () => {
    for (const [folder, platform] of [
      ["programs", "linux"],
      ["$NONE/x", "linux"],
      ["\\\\server\\share", "win32"],
      ["//server/share", "linux"],
    ] as const) {
      expect(() => hostFolders([folder], platform, {})).toThrow(
        expect.objectContaining({ code: "ERR_CONFIG_INVALID" }),
      );
    }
  });
});
