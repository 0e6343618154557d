import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import type { RequestHandler } from 'express';
import { Failure } from '../failure.ts';
import type { Allowance, BodyMemory } from '../intake/body-memory.ts';
import { wantBody } from './connection/expected-continue.ts';
import { requestContext } from './request-context.ts';

export interface BodyLimits {
  /** limit for a body, as received and after decoding */
  readonly limitBytes: number;
  readonly memory: BodyMemory;
}

const DECODERS = { gzip: createGunzip, 'x-gzip': createGunzip, deflate: createInflate, br: createBrotliDecompress };
/** Limit of pieces of a body. TCP alone splits 20 MB into about 14,000; each costs about 4 µs, however small it is. */
const MOST_PIECES = 50_000;
const LEAST_CAPACITY = 4_096;

/**
 * Reads the bytes of a body into one buffer, whatever its content type. Its memory is reserved first: the announced
 * length when the header arrives, otherwise each piece as it arrives. The memory is released when the request no longer
 * waits.
 * @throws Failure `body_too_large`, `unsupported_media_type`, `overloaded`, `invalid_json`, `invalid_request`,
 * `client_closed`
 */
export function readBody(limits: BodyLimits): RequestHandler {
  return async (req, res, next) => {
    const context = requestContext(res);
    context.memory = limits.memory.open(context.caller.id);
    res.once('close', () => context.memory.release());
    req.body = await receive(req, () => wantBody(res), context.memory, limits);
    // It may already be answered, because it was late or the gateway is leaving.
    if (!res.writableEnded) next();
  };
}

async function receive(
  req: IncomingMessage,
  begin: () => void,
  memory: Allowance,
  limits: BodyLimits,
): Promise<Buffer> {
  const announced = req.headers['content-length'] === undefined ? 0 : Number(req.headers['content-length']);
  if (announced > limits.limitBytes) throw tooLarge(limits.limitBytes);
  const unpacked = unpack(req);
  if (!memory.take(announced)) throw noMemory();
  const collected = new Collected(unpacked === req ? announced : 0, memory, limits.limitBytes);
  await new Promise<void>((resolve, reject) => {
    const stop = (failure?: Failure): void => {
      req.off('data', count).off('data', takeCounted);
      unpacked.off('data', take);
      req.unpipe().pause();
      if (unpacked !== req) unpacked.destroy();
      if (failure === undefined) resolve();
      else reject(failure);
    };
    let pieces = 0;
    const count = (): void => {
      pieces += 1;
      if (pieces > MOST_PIECES) stop(tooManyPieces());
    };
    const take = (piece: Buffer): void => {
      const failure = collected.add(piece);
      if (failure !== undefined) stop(failure);
    };
    // One listener if the pieces are the body itself: tiny ones cost most of their time in the calls.
    const takeCounted = (piece: Buffer): void => {
      count();
      take(piece);
    };
    begin();
    if (unpacked === req) req.on('data', takeCounted);
    else {
      req.on('data', count);
      unpacked.on('data', take);
    }
    unpacked.once('end', () => stop());
    unpacked.once('error', () => stop(new Failure('invalid_json', 'the body does not match its content-encoding')));
    // A decoder may still work when the last byte has arrived and the request closes.
    req.once('close', () => {
      if (!req.complete) stop(new Failure('client_closed', 'the client closed the connection'));
    });
  });
  return collected.bytes();
}

/** @throws Failure `unsupported_media_type` */
function unpack(req: IncomingMessage): Readable {
  const coding = (req.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (coding === 'identity' || coding === '') return req;
  const decoder = Object.entries(DECODERS).find(([name]) => name === coding)?.[1];
  if (decoder !== undefined) return req.pipe(decoder());
  const known = Object.keys(DECODERS).join(', ');
  const message = `the content-encoding ${JSON.stringify(coding.slice(0, 40))} is not supported; use ${known} or identity`;
  throw new Failure('unsupported_media_type', message);
}

/** A body's bytes in one buffer, of the announced length or growing: tiny pieces would use 100 times their size. */
class Collected {
  readonly #memory: Allowance;
  readonly #limitBytes: number;
  readonly #isAnnounced: boolean;
  #whole: Buffer;
  #length = 0;

  constructor(announced: number, memory: Allowance, limitBytes: number) {
    // Separate memory, which costs nothing until its bytes arrive.
    this.#whole = Buffer.allocUnsafeSlow(announced);
    this.#isAnnounced = announced > 0;
    this.#memory = memory;
    this.#limitBytes = limitBytes;
  }

  add(piece: Buffer): Failure | undefined {
    const length = this.#length + piece.length;
    if (!this.#isAnnounced) {
      if (length > this.#limitBytes) return tooLarge(this.#limitBytes);
      if (!this.#memory.take(piece.length)) return noMemory();
      if (length > this.#whole.length) this.#grow(length);
    }
    piece.copy(this.#whole, this.#length);
    this.#length = length;
    return undefined;
  }

  bytes(): Buffer {
    return this.#isAnnounced ? this.#whole : this.#whole.subarray(0, this.#length);
  }

  #grow(length: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.#whole.length, LEAST_CAPACITY));
    this.#whole.copy(larger, 0, 0, this.#length);
    this.#whole = larger;
  }
}

function tooLarge(allowed: number): Failure {
  return new Failure('body_too_large', `the body is larger than ${allowed} bytes`, { allowed });
}

function tooManyPieces(): Failure {
  const message = `the body arrived in more than ${MOST_PIECES} pieces; send larger chunks`;
  return new Failure('invalid_request', message, { allowed: MOST_PIECES });
}

function noMemory(): Failure {
  const message = 'the requests of this key, or of all keys, fill the memory of this gateway; try again';
  return new Failure('overloaded', message);
}
