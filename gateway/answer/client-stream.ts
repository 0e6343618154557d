import type { Rendered } from './renderers.ts';

/** Who gets an answer. A socket is behind it, or whatever else takes one. */
export interface ClientStream {
  /** it has something of the answer, which can be no other answer any more */
  readonly isBegun: boolean;
  /** nobody is there to read */
  readonly isGone: boolean;
  /** bytes that were written to it, and that it has not taken */
  readonly unsentBytes: number;
  /** Writes an answer that is no stream. */
  send(answer: Rendered): void;
  /** Writes a piece of a stream. */
  write(piece: Buffer | string): void;
  /** Ends a stream. @param last piece */
  end(last?: string): void;
  /** Ends a stream so that its reader notices it by the connection. @param last piece, which it is given time to read */
  cut(last: string): void;
  /** It does not read: from here on it is gone. */
  giveUp(): void;
}
