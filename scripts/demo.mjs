// npm run demo: installs, builds, then runs `ckmesh demo`. Needs only node and npm.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const PNPM = ["-y", "pnpm@10.34.9"];

let child;
let isStopping = false;
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    isStopping = true;
    // On a terminal Ctrl-C reaches the child by itself; a second signal would end it before it has cleaned up.
    if (signal === "SIGTERM" || !process.stdin.isTTY) child?.kill(signal);
  });
}

/** Exit code of a command run in the repository, its output shown. */
function run(command, args) {
  return new Promise((resolve) => {
    child = spawn(command, args, { cwd: root, stdio: "inherit", shell: process.platform === "win32" });
    child.once("error", (err) => {
      console.error(`demo: cannot run ${command}: ${err.message}`);
      resolve(1);
    });
    child.once("close", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 143)));
  });
}

const steps = [
  ["npx", [...PNPM, "install", "--frozen-lockfile"]],
  ["npx", [...PNPM, "run", "build"]],
  ["node", ["packages/cli/bundle/bin/ckmesh.js", "demo", ...process.argv.slice(2)]],
];
let status = 0;
for (const [command, args] of steps) {
  if (isStopping) status ||= 130;
  if (status === 0) status = await run(command, args);
}
process.exitCode = status;
