import { originConfigProperties } from "@ckmesh/client";
import { Command } from "commander";
import { expect, it } from "vitest";
import { CliOptions } from "../src/cli-options.js";
import { addOriginOptions, originFlags } from "../src/origin-options.js";

function parse(...argv: readonly string[]): CliOptions {
  const command = addOriginOptions(new Command()).parse(argv, { from: "user" });
  return new CliOptions(command.opts<Record<string, unknown>>(), command.args);
}

it("every setting of an origin has a flag, but the one that sends passwords in the open", () => {
  const { allowBasicOverHttp: _, ...settings } = originConfigProperties;
  expect(Object.keys(originFlags(parse())).toSorted()).toEqual(Object.keys(settings).toSorted());
});

it("flags arrive under the keys of the configuration", () => {
  const line =
    "--user alice --password-file pw --negotiate --ntlm --cert c --key k --ca ca --proxy http://p:1 " +
    "--proxy-credentials-file pc --proxy-bypass .lan --proxy-bypass 10.0.0.0/8";
  const options = parse(...line.split(" "));
  expect(originFlags(options)).toEqual({
    user: "alice",
    passwordFile: "pw",
    negotiate: true,
    ntlm: true,
    cert: "c",
    key: "k",
    ca: "ca",
    proxy: "http://p:1",
    proxyCredentialsFile: "pc",
    proxyBypass: [".lan", "10.0.0.0/8"],
  });
});

it("a switch that is not given leaves the decision to the file", () => {
  expect(originFlags(parse()).negotiate).toBeUndefined();
});
