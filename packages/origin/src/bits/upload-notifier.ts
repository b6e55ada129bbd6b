import { TLSSocket } from "node:tls";
import type { Logger } from "@ckmesh/core";
import { formatListen } from "@ckmesh/runtime";
import { plainAddress } from "../listener/request-facts.js";
import type { BitsRequest } from "./bits-request.js";
import type { NotificationSettings } from "./bits-settings.js";
import { notifyProgram } from "./notify-program.js";
import { replyName } from "./reply-name.js";
import type { Notified } from "./session-record.js";
import type { UploadSession } from "./upload-session.js";

export interface UploadNotifierOptions {
  /** Absent: nobody is told. */
  readonly settings: () => NotificationSettings | undefined;
  /** Of the virtual directory. */
  readonly directoryName: string;
  readonly logger: Logger;
}

/** A name or address with a port, as it may stand in a URL. */
const HOST = /^(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/;

/** Tells a program of each whole file, where the configuration names one. */
export class UploadNotifier {
  readonly #options: UploadNotifierOptions;

  constructor(options: UploadNotifierOptions) {
    this.#options = options;
  }

  /** @throws {BitsFault} when the program does not take it */
  notify(session: UploadSession, request: BitsRequest): Promise<Notified> | undefined {
    const settings = this.#options.settings();
    return settings === undefined ? undefined : this.#tell(settings, session, request);
  }

  async #tell(
    settings: NotificationSettings,
    session: UploadSession,
    request: BitsRequest,
  ): Promise<Notified> {
    const { directoryName, logger } = this.#options;
    const here = baseOf(request);
    const { folder, record, received } = session;
    const { isPublished, reply } = await notifyProgram(settings, {
      url: new URL(record.url, here),
      dataPath: folder.dataPath,
      bytes: received,
      replyPath: folder.replyPath,
    });
    logger.info(
      { session: session.id, file: record.target.fileName, isPublished, reply: reply.type },
      "program told of an upload",
    );
    switch (reply.type) {
      case "none":
        return { isPublished };
      case "url":
        return { isPublished, replyUrl: reply.url };
      case "file":
        return { isPublished, replyUrl: new URL(`/${directoryName}/${replyName(session.id)}`, here).href };
    }
  }
}

/** How the client reaches this server, as it says itself; else as the connection does. */
function baseOf({ headers, socket }: BitsRequest): URL {
  const { localAddress = "127.0.0.1", localPort = 80 } = socket;
  const said = headers.host !== undefined && HOST.test(headers.host) ? headers.host : undefined;
  const host =
    said !== undefined && URL.canParse(`http://${said}`)
      ? said
      : formatListen({ host: plainAddress(localAddress), port: localPort });
  return new URL(`${socket instanceof TLSSocket ? "https" : "http"}://${host}`);
}
