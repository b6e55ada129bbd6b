import { read } from "node:fs";
import type { ServerResponse } from "node:http";
import { AppError, type ByteRange } from "@ckmesh/core";
import { BufferPool } from "./buffer-pool.js";

/**
 * 256 KiB reads: 64 KiB streams cost twice the CPU, larger buffers bring nothing more and hold memory for
 * slow readers (test/bench/origin-bench.ts).
 */
const READ_BYTES = 256 * 1024;
/** 16 MiB of idle buffers at most. */
const pool = new BufferPool(READ_BYTES, 64);

/**
 * Writes bytes [first, last] of an open file to an answer: one read and one write under way, the next read
 * only when the socket has taken the last. A buffer returns to the pool when the socket is done with it.
 * @throws {AppError} ERR_STORE_CORRUPT when the file cannot be read or became shorter
 * @throws {Error} when the connection breaks
 */
export function sendFile(response: ServerResponse, fd: number, range: ByteRange): Promise<void> {
  return new Promise((resolve, reject) => {
    let position = range.first;
    const settle = (err?: Error): void => {
      response.off("close", onClose);
      if (err === undefined) resolve();
      else reject(err);
    };
    // A write that is dropped with its connection may never call back.
    const onClose = (): void => settle(new Error("connection closed"));
    const next = (): void => {
      if (position > range.last) return settle();
      if (response.destroyed) return onClose();
      const buffer = pool.take();
      const wanted = Math.min(READ_BYTES, range.last - position + 1);
      read(fd, buffer, 0, wanted, position, (err, bytesRead) => {
        if (err !== null || bytesRead === 0 || response.destroyed) {
          pool.give(buffer);
          if (response.destroyed) return onClose();
          return settle(
            new AppError("ERR_STORE_CORRUPT", "the file cannot be read to its end", { cause: err }),
          );
        }
        position += bytesRead;
        response.write(bytesRead === buffer.length ? buffer : buffer.subarray(0, bytesRead), (failure) => {
          pool.give(buffer);
          if (failure instanceof Error) settle(failure);
          else next();
        });
      });
    };
    response.on("close", onClose);
    next();
  });
}
