import { mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { Identity } from "@ckmesh/auth";
import { accessDenied, BitsFault, invalidPacket } from "@ckmesh/bits";
import type {
  StagedUpload,
  UploadIntake,
  UploadTarget,
  UploadWatcher,
} from "../../src/uploads/upload-intake.js";

/** What an intake was told of one session. */
export interface Followed {
  readonly upload: StagedUpload;
  readonly chunks: { readonly offset: number; readonly bytes: Buffer }[];
  ended?: "closed" | "discarded";
}

/** Takes every file into a folder; refuses and fills what a test says. */
export class MemoryIntake implements UploadIntake {
  readonly folder: string;
  readonly followed: Followed[] = [];
  readonly admitted: { readonly target: UploadTarget; readonly user: Identity }[] = [];
  /** Users of the sessions whose file was taken. */
  readonly taken = new Map<string, string>();
  /** Names that exist already. */
  readonly existing = new Set<string>();
  held = 0;
  /** Thrown by the next close. */
  closeFailure: Error | undefined;
  fill: UploadWatcher["fill"] = async (received) => ({ received });

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
  }

  parseTarget(segment: string): UploadTarget {
    const fileName = decodeURIComponent(segment);
    const m = /^([A-Za-z]\w*?)(?:_(\d+))?\.ckm(\.index)?$/i.exec(fileName);
    if (m?.[1] === undefined) throw invalidPacket(`${fileName} is no name of an image`);
    return {
      image: m[1],
      kind: m[3] === undefined ? "pack" : "index",
      fileName,
      ...(m[2] === undefined ? {} : { version: Number(m[2]) }),
    };
  }

  async admit(target: UploadTarget, user: Identity): Promise<void> {
    if (this.existing.has(target.fileName)) throw accessDenied(`${target.fileName} exists`);
    this.admitted.push({ target, user });
  }

  begin(upload: StagedUpload): UploadWatcher {
    const followed: Followed = { upload, chunks: [] };
    this.followed.push(followed);
    return {
      wrote: (bytes, offset) => {
        followed.chunks.push({ offset, bytes: Buffer.from(bytes) });
      },
      fill: (received, total) => this.fill(received, total),
      close: async () => {
        const failure = this.closeFailure;
        this.closeFailure = undefined;
        if (failure !== undefined) throw failure;
        renameSync(upload.path, this.path(upload.target.fileName));
        followed.ended = "closed";
        this.taken.set(upload.sessionId, upload.user.name);
      },
      discard: () => {
        followed.ended = "discarded";
      },
    };
  }

  wasClosed(sessionId: string, { name }: Identity): boolean {
    return this.taken.get(sessionId) === name;
  }

  heldBytes(): number {
    return this.held;
  }

  path(fileName: string): string {
    return join(this.folder, fileName);
  }
}

/** A refusal for good. */
export function refusedFile(): BitsFault {
  return new BitsFault("ERR_UPLOAD_REFUSED", "no image", { status: 409 });
}
