import type { Progress } from "@ckmesh/store";
import type { Output } from "./output.js";

/** Phases as commands name them; docs/json-output.md lists them. */
const PHASES: Readonly<Record<Progress["phase"], string>> = {
  convert: "converting",
  previous: "reading the previous version",
  pack: "packing",
  compress: "compressing",
  index: "indexing",
  check: "checking",
  rebuild: "rebuilding",
  references: "finding references",
  delta: "making the delta",
  apply: "applying the delta",
  copy: "copying",
};

/** Shows the progress of work on an image. */
export function workProgress(output: Output): (progress: Progress) => void {
  return ({ phase, bytesDone, bytesTotal }) =>
    output.progress({ phase: PHASES[phase], bytesDone, bytesTotal });
}
