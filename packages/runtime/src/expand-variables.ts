const VARIABLE = /%([^%]+)%|\$\{([^}]+)\}|\$([A-Za-z_][A-Za-z0-9_]*)/g;

/**
 * Puts the values of environment variables in the place of `%NAME%`, `${NAME}` and `$NAME`.
 * @returns undefined when one of them is not set
 */
export function expandVariables(
  text: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  let isWhole = true;
  const expanded = text.replace(VARIABLE, (_, percent?: string, braces?: string, bare?: string) => {
    const value = environment[percent ?? braces ?? bare ?? ""];
    isWhole &&= value !== undefined && value !== "";
    return value ?? "";
  });
  return isWhole ? expanded : undefined;
}
