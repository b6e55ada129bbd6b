/** One challenge of a `WWW-Authenticate` header (RFC 9110 §11.6.1). */
export interface Challenge {
  /** Lower case. */
  readonly scheme: string;
  /** The token of a handshake's leg (NTLM, Negotiate); absent where the scheme is merely offered. */
  readonly token?: string;
}

/** More than this is no list of challenges; a Kerberos reply takes some KiB. */
const MAX_HEADER_LENGTH = 65_536;
const MAX_CHALLENGES = 32;

const SCHEME = /^([a-z][a-z0-9!#$&'*.^_|~-]{0,31})(?:[ \t]+(.*))?$/is;
const TOKEN68 = /^[a-z0-9\-._~+/]+=*$/i;
const PARAMETER = /^[a-z0-9!#$%&'*+.^_`|~-]+[ \t]*=/i;

/**
 * The challenges of all `WWW-Authenticate` lines in their order, those of several in one line too. What cannot be
 * read is left out: one odd line must not hide the others.
 */
export function parseChallenges(lines: readonly string[]): readonly Challenge[] {
  const challenges: Challenge[] = [];
  for (const line of lines) {
    if (line.length > MAX_HEADER_LENGTH) continue;
    for (const element of elementsOf(line)) {
      const challenge = parseElement(element.trim());
      if (challenge !== undefined && challenges.length < MAX_CHALLENGES) challenges.push(challenge);
    }
  }
  return challenges;
}

/** Split at the commas that stand in no quoted string; one pass, whatever quotes a hostile line has. */
function elementsOf(line: string): readonly string[] {
  const elements: string[] = [];
  let from = 0;
  let isQuoted = false;
  for (let at = 0; at < line.length; at += 1) {
    const char = line[at];
    if (char === '"') isQuoted = !isQuoted;
    else if (char === "\\" && isQuoted) at += 1;
    else if (char === "," && !isQuoted) {
      elements.push(line.slice(from, at));
      from = at + 1;
    }
  }
  return [...elements, line.slice(from)];
}

/** Undefined for a further parameter of the challenge before. */
function parseElement(element: string): Challenge | undefined {
  const match = SCHEME.exec(element);
  const name = match?.[1];
  if (name === undefined) return undefined;
  const scheme = name.toLowerCase();
  const rest = match?.[2]?.trim() ?? "";
  if (rest === "") return { scheme };
  if (TOKEN68.test(rest)) return { scheme, token: rest };
  return PARAMETER.test(rest) ? { scheme } : undefined;
}

/** The schemes of `WWW-Authenticate` lines, lower case, each once. */
export function offeredSchemes(lines: readonly string[]): readonly string[] {
  return [...new Set(parseChallenges(lines).map(({ scheme }) => scheme))];
}
