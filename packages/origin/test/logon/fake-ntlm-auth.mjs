// Behaves like `ntlm_auth`, or misbehaves as its first argument says. `pw` is every account's password.
import { createInterface } from "node:readline";

const [mode = "ntlm", ...rest] = process.argv.slice(2);
const say = (...lines) => process.stdout.write(`${lines.join("\n")}\n`);
const KEY = "0123456789ABCDEF0123456789ABCDEF";
let fields = new Map();
let count = 0;
const isBasic = mode.startsWith("basic") || rest.includes("--helper-protocol=squid-2.5-basic");

function answerNtlm() {
  const name = fields.get("Username") ?? Buffer.from(fields.get("Username:") ?? "", "base64").toString();
  const isRight = fields.get("NT-Response") === "aa";
  count += 1;
  if (mode === "silent") return;
  if (mode === "dies") process.exit(3);
  if (mode === "dies second" && count === 2) process.exit(3);
  if (mode === "no verdict") return say("User-Session-Key: x", ".");
  if (mode === "no key") return say("Authenticated: Yes", ".");
  if (mode === "away") {
    return say("Authenticated: No", "Authentication-Error: Reading winbind reply failed!", ".", ".");
  }
  if (mode === "error") return say("Error: No username supplied!", ".");
  if (mode === "endless line") return process.stdout.write("x".repeat(100_000));
  if (mode === "endless answer")
    return say(...Array.from({ length: 100 }, (_, i) => `Key-${"a".repeat(i)}: x`));
  if (mode === "shifted")
    return say("Authenticated: No", ".", "Authenticated: Yes", `User-Session-Key: ${KEY}`, ".");
  if (mode === "splits") {
    for (const char of Array.from(`Authenticated: Yes\r\nUser-Session-Key: ${KEY}\r\n.\r\n`))
      process.stdout.write(char);
    return;
  }
  if (mode === "late dot" && !isRight) {
    say("Authenticated: No", "Authentication-Error: wrong", ".");
    return;
  }
  if (mode === "late dot" && count > 1) process.stdout.write(".\n");
  if (!isRight) return say("Authenticated: No", "Authentication-Error: Wrong Password", ".", ".");
  return say(
    "Authenticated: Yes",
    `User-Session-Key: ${Buffer.from(name.padEnd(16, ".")).subarray(0, 16).toString("hex")}`,
    ".",
  );
}

if (mode === "ends at once") process.exit(rest.length);
createInterface({ input: process.stdin }).on("line", (line) => {
  if (isBasic && mode !== "basic odd") {
    const [user = "", password = ""] = line.split(" ").map((text) => decodeURIComponent(text));
    say(password === "pw" && user !== "" ? "OK" : `ERR ${user}`);
  } else if (mode === "basic odd") {
    say("Failed to allocate");
  } else if (line === ".") {
    answerNtlm();
    fields = new Map();
  } else {
    const at = line.indexOf(": ");
    fields.set(line.slice(0, at), line.slice(at + 2));
  }
});
