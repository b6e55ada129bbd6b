import { randomFillSync } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { MIB } from "@ckmesh/core";
import { expect, it, onTestFinished } from "vitest";
import { type Finished, jsonLines, runCkmesh } from "./run-ckmesh.js";
import { useTempFolder } from "./temp-folder.js";

const tempFolder = useTempFolder();

const summaryOf = (run: Finished | undefined): unknown => (run === undefined ? run : jsonLines(run).at(-1));

it("client import hands a folder to the running client, says what is missing, and export gives the pair back", async () => {
  const folder = tempFolder();
  const [disk, usb, back, store] = ["disk", "usb", "back", "store"].map((name) => join(folder, name));
  if (disk === undefined || usb === undefined || back === undefined || store === undefined) return;
  writeFileSync(disk, randomFillSync(new Uint8Array(2 * MIB)));
  await runCkmesh(["pack", disk, "--name", "A", "--out", usb]);
  const whole = readFileSync(join(usb, "A_1.ckm"));
  truncateSync(join(usb, "A_1.ckm"), MIB);
  const into = ["--store", store, "--json"];
  let steps: Promise<readonly Finished[]> | undefined;
  const nobody = createServer((socket) => socket.destroy());
  await once(nobody.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void nobody.close());
  const address = nobody.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const origin = `https://127.0.0.1:${port}/MEDVImages`;
  const args = ["--origin", origin, "--image", "A", "--listen", "127.0.0.1:0"];
  await runCkmesh(["client", "run", ...args, ...into], {
    onStdout: (text, kill) => {
      if (!text.includes('"event":"ready"') || steps !== undefined) return;
      steps = (async () => {
        const cut = await runCkmesh(["client", "import", usb, ...into]);
        writeFileSync(join(usb, "A_1.ckm"), whole);
        const good = await runCkmesh(["client", "import", usb, ...into]);
        const exported = await runCkmesh(["client", "export", "A", back, ...into]);
        mkdirSync(join(folder, "empty"));
        return [cut, good, exported, await runCkmesh(["client", "import", join(folder, "empty"), ...into])];
      })();
      steps.then(
        () => kill("SIGTERM"),
        () => kill("SIGTERM"),
      );
    },
  });
  const [cut, good, exported, empty] = (await steps) ?? [];
  expect(cut).toMatchObject({ exitCode: 0 });
  expect(summaryOf(cut)).toMatchObject({ running: true, pairs: [{ image: "A", result: "incomplete" }] });
  expect(summaryOf(good)).toMatchObject({ running: true, pairs: [{ version: 1, result: "complete" }] });
  expect(exported?.exitCode).toBe(0);
  expect(Buffer.compare(readFileSync(join(back, "A_1.ckm")), whole)).toBe(0);
  expect(empty).toMatchObject({ exitCode: 4 });
});
