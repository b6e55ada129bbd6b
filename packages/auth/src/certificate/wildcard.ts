/**
 * True if `text` matches `pattern`, in which `*` stands for any text and nothing else has a meaning. The parts
 * between the stars are looked for from left to right, each as early as possible, which is enough for stars
 * alone; every part is searched once, so the cost is that of `indexOf`, whatever the pattern.
 */
export function matchesWildcard(pattern: string, text: string): boolean {
  const [first = "", ...parts] = pattern.split("*");
  const last = parts.pop();
  if (last === undefined) return pattern === text;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last))
    return false;
  const end = text.length - last.length;
  let at = first.length;
  for (const part of parts) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
