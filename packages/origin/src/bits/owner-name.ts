import type { Identity } from "@ckmesh/auth";

/** Upper and lower case are one user, as in rights. */
export function ownerName({ name }: Identity): string {
  return name.normalize("NFC").toLowerCase();
}
