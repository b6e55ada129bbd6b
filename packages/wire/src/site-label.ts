/** In UTF-16 units. */
export const MAX_SITE_LABEL_LENGTH = 64;

/** What may name a site: 1 to 64 printable characters, no white space at the ends. */
export function isSiteLabel(text: string): boolean {
  return (
    text.length > 0 && text.length <= MAX_SITE_LABEL_LENGTH && text.trim() === text && !/\p{C}/u.test(text)
  );
}
