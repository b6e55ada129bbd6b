import type { Command } from "commander";
import type { CliOptions } from "./cli-options.js";
import { collect } from "./leaf.js";

/** Flags of every command that talks to an origin: who one is there, and how it is reached. */
export function addOriginOptions(command: Command): Command {
  return command
    .option("--user <NAME>", "account at the origin: user, DOMAIN\\user or user@domain")
    .option("--password-file <FILE>", "file whose first line is its password")
    .option("--negotiate", "log on with a Kerberos ticket, else with NTLM (--user)")
    .option("--ntlm", "log on with NTLM only")
    .option("--cert <FILE>", "client certificate with its chain, PEM")
    .option("--key <FILE>", "its private key, PEM")
    .option("--ca <FILE>", "certificates to trust, PEM")
    .option("--proxy <URL>", "HTTP proxy on the way to the origin: http://host:port")
    .option("--proxy-credentials-file <FILE>", "file whose first line is user:password for the proxy")
    .option(
      "--proxy-bypass <HOST>",
      "host, .domain or network that is reached directly (several times)",
      collect,
    );
}

/** The flags by configuration key; undefined where one was not given. */
export function originFlags(options: CliOptions) {
  return {
    user: options.text("user"),
    passwordFile: options.text("passwordFile"),
    negotiate: options.flag("negotiate"),
    ntlm: options.flag("ntlm"),
    cert: options.text("cert"),
    key: options.text("key"),
    ca: options.text("ca"),
    proxy: options.text("proxy"),
    proxyCredentialsFile: options.text("proxyCredentialsFile"),
    proxyBypass: options.list("proxyBypass"),
  };
}
