import type { LogonName } from "./judges.js";

/** Takes `DOMAIN\user`, `user@domain` and `user` apart; what is left of `\` wins over what is right of `@`. */
export function parseLogonName(text: string): LogonName {
  const slash = text.lastIndexOf("\\");
  const plain = text.slice(slash + 1);
  const at = plain.indexOf("@");
  const account = at < 0 ? plain : plain.slice(0, at);
  const domain = slash >= 0 ? text.slice(0, slash) : at < 0 ? "" : plain.slice(at + 1);
  return { account, domain };
}
