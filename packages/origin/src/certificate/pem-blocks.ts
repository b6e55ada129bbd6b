import { AppError } from "@ckmesh/core";

export type PemLabel = "CERTIFICATE" | "X509 CRL";

/** First octet of DER: a SEQUENCE. */
const DER_SEQUENCE = 0x30;
/** RFC 7468: encoders break lines after this many characters. */
const LINE_LENGTH = 64;

/**
 * The DER of each block of a file in PEM, or of a file that is DER as a whole: Windows' CAs publish `.crl` and `.cer`
 * so, and Node takes neither that nor a second list in one text.
 * @throws {AppError} ERR_CONFIG_INVALID when there is none
 */
export function readBlocks(file: Buffer, label: PemLabel): readonly Buffer[] {
  if (file[0] === DER_SEQUENCE) return [file];
  const text = file.toString("latin1");
  const [begin, end] = [`-----BEGIN ${label}-----`, `-----END ${label}-----`];
  const blocks: Buffer[] = [];
  for (let at = text.indexOf(begin); at >= 0; at = text.indexOf(begin, at)) {
    const stop = text.indexOf(end, at);
    if (stop < 0) throw new AppError("ERR_CONFIG_INVALID", `a ${label} without its last line`);
    blocks.push(Buffer.from(text.slice(at + begin.length, stop), "base64"));
    at = stop;
  }
  if (blocks.length === 0) throw new AppError("ERR_CONFIG_INVALID", `no ${label} in it`);
  return blocks;
}

export function toPem(der: Uint8Array, label: PemLabel): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(new RegExp(`.{1,${LINE_LENGTH}}`, "g")) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
