// Behaves like `ntlm_auth`, or misbehaves as its first argument says. `pw` is every account's password.
import { createHmac } from "node:crypto";
import { createInterface } from "node:readline";

const [mode = "ntlm", ...rest] = process.argv.slice(2);
const say = (...lines) => process.stdout.write(`${lines.join("\n")}\n`);
const KEY = "0123456789ABCDEF0123456789ABCDEF";
let fields = new Map();
let count = 0;
/** NT hash of `pw`: Node has no MD4. */
const NT_HASH = Buffer.from("8cc19b6a8cfeac299c2871c86b38de28", "hex");
const hmacMd5 = (key, ...parts) => createHmac("md5", key).update(Buffer.concat(parts)).digest();

/** NTLMv2 ([MS-NLMP] 3.3.2). */
function isRightResponse(name, domain) {
  const response = Buffer.from(fields.get("NT-Response") ?? "", "hex");
  const challenge = Buffer.from(fields.get("LANMAN-Challenge") ?? "", "hex");
  const key = hmacMd5(NT_HASH, Buffer.from(name.toUpperCase() + domain, "utf16le"));
  return hmacMd5(key, challenge, response.subarray(16)).equals(response.subarray(0, 16));
}

const textOf = (key) => fields.get(key) ?? Buffer.from(fields.get(`${key}:`) ?? "", "base64").toString();

function answerNtlm() {
  const name = textOf("Username");
  const isRight = fields.get("NT-Response") === "aa" || isRightResponse(name, textOf("NT-Domain"));
  count += 1;
  if (mode === "silent" || name === "silent") return;
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
  if (line === ".") {
    answerNtlm();
    fields = new Map();
  } else {
    const at = line.indexOf(": ");
    fields.set(line.slice(0, at), line.slice(at + 2));
  }
});
