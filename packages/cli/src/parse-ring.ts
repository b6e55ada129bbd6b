import { AppError } from "@ckmesh/core";
import type { Ring } from "@ckmesh/image";

/**
 * A ring as typed: a share, groups, or both, separated by commas: `10%`, `pilots`, `25%,berlin,oslo`.
 * @throws {AppError} ERR_USAGE
 */
export function parseRing(text: string): Ring {
  const groups: string[] = [];
  let percent: number | undefined;
  for (const part of text.split(",").map((each) => each.trim())) {
    if (part === "") throw usage(text, "a part of it is empty");
    if (!part.endsWith("%")) {
      groups.push(part);
      continue;
    }
    if (percent !== undefined) throw usage(text, "it has two shares");
    percent = parsePercent(part);
    if (percent === undefined) throw usage(text, "a share is 0% to 100%");
  }
  return { ...(percent !== undefined && { percent }), ...(groups.length > 0 && { groups }) };
}

/** `2.5%` as 2.5; undefined for what is no share from 0% to 100%. */
export function parsePercent(text: string): number | undefined {
  const number = /^(\d{1,3}(?:\.\d{1,6})?)%?$/.exec(text)?.[1];
  const percent = number === undefined ? Number.NaN : Number(number);
  return percent <= 100 ? percent : undefined;
}

function usage(text: string, problem: string): AppError {
  return new AppError(
    "ERR_USAGE",
    `--ring ${JSON.stringify(text)}: ${problem}; write a share, groups, or both: 10%, pilots, 25%,berlin,oslo`,
  );
}
