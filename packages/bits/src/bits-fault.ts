import { AppError, type ErrorCode } from "@ckmesh/core";
import type { Hresult } from "./hresult.js";

/** Who found the fault: our side, or the program that a notification went to ([MC-BUP] 2.2.1.2). */
export const ERROR_CONTEXT = { server: 0x5, application: 0x7 } as const;

/** A refused packet, with what its Ack says. */
export class BitsFault extends AppError {
  readonly status: number;
  /** Absent where the status says it all. */
  readonly hresult: Hresult | undefined;
  readonly context: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ErrorCode,
    message: string,
    answer: {
      readonly status: number;
      readonly hresult?: Hresult;
      readonly context?: number;
      readonly headers?: Readonly<Record<string, string>>;
    },
  ) {
    super(code, message);
    this.status = answer.status;
    this.hresult = answer.hresult;
    this.context = answer.context ?? ERROR_CONTEXT.server;
    this.headers = answer.headers ?? {};
  }
}
