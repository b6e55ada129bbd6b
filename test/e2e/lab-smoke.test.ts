import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { labAvailable, withLab } from "../lab/lab.js";

const reason = labAvailable();
if (reason !== undefined) process.stderr.write(`lab tests skipped: ${reason}\n`);

const SERVE = `
  const server = require("node:http").createServer((req, res) => res.end(Buffer.alloc(1048576)));
  server.listen(80, "10.77.0.1", () => console.log("ready"));`;
const FETCH = `fetch("http://10.77.0.1/").then((r) => r.arrayBuffer()).then((b) => console.log(b.byteLength))`;

describe.skipIf(reason !== undefined)("the lab", () => {
  it("counts what crosses a site's WAN, and only there", async () => {
    await withLab({ sites: 2, clients: 1, wanMbit: 100 }, async (lab) => {
      const server = lab.spawn("dc", [process.execPath, "-e", SERVE], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      if (server.stdout !== null) await once(server.stdout, "data");
      const before = await lab.stats();
      expect((await lab.exec("s1c1", [process.execPath, "-e", FETCH])).trim()).toBe("1048576");
      const { wan, lan } = await lab.stats(before);
      // Headers of Ethernet, IP and TCP: about 4.5 %.
      expect(wan.get("site1")?.down).toBeGreaterThan(1_048_576 * 1.02);
      expect(wan.get("site1")?.down).toBeLessThan(1_048_576 * 1.1);
      expect(lan.get("s1c1")?.down).toBeGreaterThan(1_048_576);
      expect(wan.get("site2")?.down).toBeLessThan(10_000);
    });
  });

  it("is taken down when the test in it fails, and says what failed in a host", async () => {
    let prefix = "";
    const failing = withLab({ clients: 1 }, async (lab) => {
      prefix = lab.prefix;
      lab.spawn("s1c1", ["sleep", "60"]);
      await lab.exec("s1c1", ["sh", "-c", "echo broken >&2; exit 3"]);
    });
    await expect(failing).rejects.toThrow("broken");
    await expect(
      withLab({ clients: 1 }, (lab) => lab.exec("dc", ["ip", "netns", "list"])),
    ).resolves.not.toContain(prefix);
  });

  it("knows the addresses of its hosts", async () => {
    await withLab({ clients: 1 }, async (lab) => {
      expect(lab.address("s1c1")).toBe("10.77.1.11");
      expect(await lab.exec("s1c1", ["ip", "-o", "-4", "addr", "show", "eth0"])).toContain("10.77.1.11/24");
      expect(() => lab.address("host")).toThrow("no host of a lab");
    });
  });
});
