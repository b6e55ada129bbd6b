import { randomInt } from "node:crypto";
import type { Random } from "@ckmesh/core";

/** `randomInt` takes ranges below 2^48. */
const STEPS = 2 ** 47;

/** Randomness of the operating system. */
export const cryptoRandom: Random = { next: () => randomInt(STEPS) / STEPS };
